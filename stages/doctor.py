"""doctor: what this machine is, what is missing on it, and what would be slow, told before a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from stages.checkup import codecs, device, disk, libraries, machine
from stages.checkup.finding import Finding
from stages.contract import Machine, Params, Report, Root, Stage


class DoctorParams(Params):
    """Nothing: the machine is asked, and no image depends on the answer."""


def run(_params: DoctorParams, root: Root, given: Machine) -> Report:
    """Ask each part of the machine, and tell what to do about what is wrong or slow."""
    findings = [*examined(root, given.device)]
    counted = Counter(finding.verdict for finding in findings)
    wrong = ", ".join(finding.part for finding in findings if finding.verdict == "wrong")
    verdict = (
        f"wrong: {wrong}" if wrong else f"nothing wrong, {counted['slow']} slow, {counted['without']} not installed"
    )
    return Report(done=len(findings), unit="answers", lines=told(findings), verdict=verdict, failed=bool(wrong))


def examined(root: Root, asked_device: str) -> Iterator[Finding]:
    """Yield what is found of each part of the machine."""
    from stages.learning import devices, room  # noqa: PLC0415 - torch is slow to load

    yield from libraries.libraries()
    yield machine.processors()
    free = room.free_on(devices.device_for("cpu"))
    yield machine.memory(free.free, free.what, machine.cores())
    yield from machine.shared_memory()
    yield device.device(asked_device)
    yield from disk.disk(root)
    yield from codecs.codecs()
    yield from libraries.extras()


def told(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, and below it what to do, where there is something."""
    parts = max(len(finding.part) for finding in findings)
    verdicts = max(len(finding.verdict) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.part.ljust(parts)}  {finding.verdict.ljust(verdicts)}  {finding.found}")
        if finding.advice:
            lines.append(f"{' ' * (parts + verdicts + 4)}{finding.advice}")
    return lines


STAGE = Stage("doctor", DoctorParams, reads=(), writes=(), run=run)
