"""Choose a version of every package that a project needs beside those of this image.

What is installed here is the constraint: nothing of it can be replaced. Only wheels are taken.
The answer has `lock` (uv's, with hashes), `installed` (name → version), and where uv refuses
`output`, and `fitting`: the lock that it finds once the project leaves its own versions out.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import job


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Return the lock. `task` has `requirements`, the same by `names` alone, `preferred` versions,
    and what `job.sources` and `job.trust` take.
    """
    job.trust(task["ca"], task.get("index_ca", ""))
    present = job.installed()
    with TemporaryDirectory() as name:
        folder = Path(name)
        constraints = "".join(f"{one}=={version}\n" for one, version in sorted(present.items()))
        (folder / "constraints.txt").write_text(constraints)
        status, output, lock = compile_lock(folder, task, task["requirements"], task["preferred"])
        said = {"installed": present, "lock": lock, "output": "", "fitting": ""}
        if status:
            _, _, fitting = compile_lock(folder, task, task["names"], {})
            said |= {"output": output[-20_000:], "fitting": fitting}
    return said


def compile_lock(
    folder: Path, task: dict[str, Any], requirements: list[str], preferred: dict[str, str]
) -> tuple[int, str, str]:
    """Return uv's status, what it said, and the lock, empty where there is none."""
    (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
    # uv prefers what stands in the file that it is to write.
    lock = folder / "lock.txt"
    lock.write_text("".join(f"{one}=={version}\n" for one, version in preferred.items()))
    status, output = job.uv(
        *("pip", "compile", "--python", sys.executable, "--no-build", "--generate-hashes"),
        *("--no-header", "--no-annotate", "--no-emit-index-url"),
        *("--prerelease", "if-necessary-or-explicit"),
        *("--constraints", "constraints.txt", "requirements.in", "-o", "lock.txt"),
        folder=folder,
        sources=job.sources(task),
    )
    return status, output, "" if status else lock.read_text()


if __name__ == "__main__":
    job.run(work)
