"""Where a node's files, addresses and programs are."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

PORT = 6443
UPLINK = "up0"


@dataclass(frozen=True)
class Layout:
    """One node. `number` (1 to 250) is the second part of all its addresses: 10.<number>.0.0/16.

    `control` and `programs` hold the binaries, `store` what containerd keeps between runs, and
    `archives` maps the key of an image set to the archive to import it from.
    """

    folder: Path
    number: int
    control: Path
    programs: Path
    store: Path
    archives: dict[str, Path]

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def link(self) -> str:
        """The host's end of the only way in and out."""
        return f"apn{self.number}"

    @property
    def control_group(self) -> str:
        return f"astro-portal-{self.number}"

    @property
    def host_address(self) -> str:
        return f"10.{self.number}.255.1"

    @property
    def address(self) -> str:
        return f"10.{self.number}.255.2"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.0.0/17"

    @property
    def services(self) -> str:
        return f"10.{self.number}.128.0/18"

    @property
    def server(self) -> str:
        return f"https://{self.address}:{PORT}"

    @property
    def authority(self) -> Path:
        return self.folder / "certificates/apiserver.crt"

    @property
    def registries(self) -> Path:
        """How containerd trusts registries: a folder each."""
        return self.folder / "registries"

    @property
    def ready(self) -> Path:
        return self.folder / "ready"

    @property
    def stopped(self) -> Path:
        """Programs that are named in this folder do not run."""
        return self.folder / "stopped"

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    def log(self, program: str) -> Path:
        return self.folder / "log" / f"{program}.log"

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        fields = json.loads(text)
        archives = {key: Path(path) for key, path in fields.pop("archives").items()}
        number = fields.pop("number")
        paths = {name: Path(path) for name, path in fields.items()}
        return cls(number=number, archives=archives, **paths)
