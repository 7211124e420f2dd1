"""The data of the configuration form as plain names and texts, before validation.

The form is always shown from such data: read from a configuration, or as it was posted. Row buttons
are pure changes of it, so that adding or removing a row needs no script and loses nothing.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace

from django.core import signing

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.schema import DEFAULT_QUEUE, Configuration, OwnImage
from apps.deployments.secrets.image_pulling import pull_secret_text
from apps.layers.form_fields import NONE
from apps.layers.kinds.labels import labels_text, tolerations_text
from apps.own_images.references import ImageNameWrong

FormData = dict[str, str]

QUEUES, VARIABLES, SETTINGS = "queues", "variables", "settings"
ON = "on"
NODE_FIELDS = ("node_selector", "tolerations", "disk_gib", "gpus")
CORRECT, REPORT = "correct", "report"
# A formset refuses to count further; the rules name a lower limit long before.
MOST_ROWS = 900
# What an address may propose for a queue.
IMAGE_SALT, MOST_PASSWORD = "deployments.image", 8_000
PROPOSED, MOST_DIGITS = ("concurrency", "min_workers", "max_workers"), 6


def data_of(
    *, configuration: Configuration, name: str, base: int | None, options: DeploymentOptions
) -> FormData:
    """Write a configuration as the form would post it.

    `base` is the number of the revision that the edit began from. Without queues the default one is
    included nevertheless, in case the executor is changed to one that has them.
    """
    queues = configuration.queues or (options.new_queue(DEFAULT_QUEUE),)
    data = {
        "name": name,
        "description": configuration.description,
        "runtime": configuration.runtime,
        "executor": configuration.executor,
        "drift": CORRECT if configuration.corrects_drift else REPORT,
        **_image_data(configuration.image),
        **{f"{SETTINGS}-{name}": text or NONE for name, text in configuration.own_settings.items()},
        "base": "" if base is None else str(base),
        **_count(QUEUES, len(queues)),
        **_count(VARIABLES, len(configuration.variables)),
    }
    for index, queue in enumerate(queues):
        data |= {
            f"{QUEUES}-{index}-name": queue.name,
            f"{QUEUES}-{index}-size": queue.size,
            f"{QUEUES}-{index}-concurrency": str(queue.concurrency),
            f"{QUEUES}-{index}-min_workers": str(queue.min_workers),
            f"{QUEUES}-{index}-max_workers": str(queue.max_workers),
        }
        if options.has_nodes:
            data |= _nodes_data(f"{QUEUES}-{index}", queue)
    for index, variable in enumerate(configuration.variables):
        data |= {
            f"{VARIABLES}-{index}-key": variable.key,
            f"{VARIABLES}-{index}-value": variable.value,
            f"{VARIABLES}-{index}-is_secret": ON if variable.is_secret else "",
            f"{VARIABLES}-{index}-secret_id": variable.secret_id,
        }
    return data


def proposed_queue(configuration: Configuration, query: Mapping[str, str]) -> FormData:
    """Return what an address proposes for a queue: numbers of workers and tasks, as typed. They are
    reviewed as any other edit.
    """
    names = [queue.name for queue in configuration.queues]
    if query.get("queue") not in names:
        return {}
    row = f"{QUEUES}-{names.index(query['queue'])}"
    given = {name: query.get(name, "") for name in PROPOSED}
    return {
        f"{row}-{name}": text
        for name, text in given.items()
        if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    }


def apply_row_action(data: FormData, button: str, options: DeploymentOptions) -> FormData:
    """Apply the action of a row button: "add queues", "remove queues-1", "replace variables-2" …"""
    verb, _, target = button.partition(" ")
    if verb == "add" and target in (QUEUES, VARIABLES):
        return _add_row(data, target, options)
    changes = {
        "remove": {f"{target}-gone": ON},
        "restore": {f"{target}-gone": ""},
        "replace": {f"{target}-replacing": ON},
        "keep": {f"{target}-replacing": "", f"{target}-value": ""},
    }
    return data | changes.get(verb, {})


def adapt(data: FormData, options: DeploymentOptions) -> FormData:
    """Replace choices that a cluster does not offer by its defaults; leave all else as typed."""
    fitted = dict(data)
    if data.get("executor") not in [executor.name for executor in options.executors]:
        fitted["executor"] = options.executors[0].name
    if options.has_drift and not data.get("drift"):
        fitted["drift"] = CORRECT
    usual = options.new_queue("")
    for index in range(row_count(data, QUEUES)):
        row = f"{QUEUES}-{index}"
        if not options.has_nodes:
            for name in NODE_FIELDS:
                fitted.pop(f"{row}-{name}", None)
        if options.size(data.get(f"{QUEUES}-{index}-size", "")) is None:
            fitted[f"{QUEUES}-{index}-size"] = usual.size
            fitted[f"{QUEUES}-{index}-concurrency"] = str(usual.concurrency)
    return fitted


def row_count(data: Mapping[str, str], rows: str) -> int:
    """Return how many rows of a kind were posted, removed ones included."""
    text = data.get(f"{rows}-TOTAL_FORMS", "0")
    return min(int(text), MOST_ROWS) if text.isascii() and text.isdigit() else 0


def seal_secrets(data: FormData, *, seal: Callable[[str], str], most_bytes: int) -> FormData:
    """Replace every secret value that was typed by the id of its sealed copy.

    From here on the value is not in the data, and so on no page. A value that no variable can hold
    stays, to be refused by validation.
    """
    sealed = dict(data)
    for index in range(row_count(data, VARIABLES)):
        row = f"{VARIABLES}-{index}"
        value = line_feeds(data.get(f"{row}-value", ""))
        is_typed_secret = data.get(f"{row}-is_secret") and value and not data.get(f"{row}-gone")
        if (
            is_typed_secret
            and len(value.encode(errors="replace")) <= most_bytes
            and "\x00" not in value
        ):
            sealed |= {f"{row}-secret_id": seal(value), f"{row}-value": "", f"{row}-replacing": ""}
    return sealed


def seal_pull_secret(data: FormData, *, seal: Callable[[str], str]) -> FormData:
    """Replace the typed credential of an image by the id of its sealed copy, as `seal_secrets`
    does. One without a name to go with is dropped, and typed again; `image_half` says that only
    one of user and password came.
    """
    user, password = data.get("image_user", "").strip(), data.get("image_password", "")
    is_sealed = False
    kept = "" if data.get("forget_image_secret") else data.get("image_secret", "")
    if user and password and len(password) <= MOST_PASSWORD:
        with suppress(ImageNameWrong):
            name = data.get("image", "").strip()
            kept = seal(pull_secret_text(name=name, user=user[:200], password=password))
            is_sealed = True
    return data | {
        "image_user": "" if is_sealed else user,
        "image_half": ON if bool(user) != bool(password) else "",
        "image_password": "",
        "forget_image_secret": "",
        "image_secret": kept,
    }


def signed_image(image: OwnImage) -> str:
    """Write down what a registry said of an image, so that a form can bring it back unchanged."""
    return signing.dumps(asdict(image) | {"secret_id": ""}, salt=IMAGE_SALT)


def found_image(data: Mapping[str, str]) -> OwnImage | None:
    """Return the image that the data names, with what its registry said if it was asked for that
    name; None for the runtime's own.
    """
    name, secret_id = data.get("image", "").strip(), data.get("image_secret", "")
    if not name:
        return None
    try:
        found = OwnImage(**signing.loads(data.get("image_found", ""), salt=IMAGE_SALT))
    except (signing.BadSignature, TypeError):
        found = OwnImage(name="")
    is_known = found.name == name and not data.get("image_again")
    return replace(found if is_known else OwnImage(name=name), secret_id=secret_id)


def secret_ids_in(data: Mapping[str, str]) -> list[str]:
    """List the ids of sealed values that the data names."""
    ids = [
        data.get(f"{VARIABLES}-{index}-secret_id", "")
        for index in range(row_count(data, VARIABLES))
    ]
    return [secret_id for secret_id in [*ids, data.get("image_secret", "")] if secret_id]


def line_feeds(text: str) -> str:
    """Undo what browsers do to line ends."""
    return text.replace("\r\n", "\n")


def _nodes_data(row: str, queue: WorkerQueue) -> FormData:
    return {
        f"{row}-node_selector": labels_text(queue.node_selector),
        f"{row}-tolerations": tolerations_text(queue.tolerations),
        f"{row}-disk_gib": str(queue.disk_gib),
        f"{row}-gpus": str(queue.gpus),
    }


def _image_data(image: OwnImage | None) -> FormData:
    if image is None:
        return {"image": ""}
    found = signed_image(image) if image.digest else ""
    return {"image": image.name, "image_found": found, "image_secret": image.secret_id}


def _add_row(data: FormData, rows: str, options: DeploymentOptions) -> FormData:
    index = row_count(data, rows)
    if index >= MOST_ROWS:
        return data
    added = {f"{rows}-TOTAL_FORMS": str(index + 1)}
    if rows == QUEUES:
        queue = options.new_queue("")
        added |= {
            f"{rows}-{index}-size": queue.size,
            f"{rows}-{index}-concurrency": str(queue.concurrency),
            f"{rows}-{index}-min_workers": str(queue.min_workers),
            f"{rows}-{index}-max_workers": str(queue.max_workers),
        }
        if options.has_nodes:
            added |= _nodes_data(f"{rows}-{index}", queue)
    return data | added


def _count(rows: str, total: int) -> FormData:
    return {f"{rows}-TOTAL_FORMS": str(total), f"{rows}-INITIAL_FORMS": "0"}
