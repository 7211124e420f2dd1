"""The tables of this app, by what they are about."""

from apps.deploys.models.branches import BranchDeployment, BranchRule
from apps.deploys.models.deliveries import Deploy, DeployState, Enforcement, Kind
from apps.deploys.models.git import CommitState, GitRepository, GitSource
from apps.deploys.models.previews import Preview, PreviewState
from apps.deploys.models.promotions import (
    UNDER_WAY,
    ApprovalRule,
    Promotion,
    PromotionState,
)
from apps.deploys.models.uploads import Upload, new_upload_name

__all__ = [
    "UNDER_WAY",
    "ApprovalRule",
    "BranchDeployment",
    "BranchRule",
    "CommitState",
    "Deploy",
    "DeployState",
    "Enforcement",
    "GitRepository",
    "GitSource",
    "Kind",
    "Preview",
    "PreviewState",
    "Promotion",
    "PromotionState",
    "Upload",
    "new_upload_name",
]
