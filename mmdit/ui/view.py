"""What the right half of the edit tab says and shows, as a function of a `View` and the jobs.

In: what one browser tab looks at. Out: HTML. Knows no Gradio, so that it is the same after a reload.
"""

from dataclasses import dataclass

from mmdit.runtime.history import Entry
from mmdit.runtime.job import JobSnapshot, JobState
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import ModelState
from mmdit.ui import markup
from mmdit.ui.language import say


@dataclass(frozen=True)
class View:
    """What one browser tab looks at. Only what its user does changes it.

    Args:
        job: id of the job that is watched.
        shown: name of the result to show; one of the watched job's, once it has made some.
        before: name of the result that "edit again" started from, to go back to.
        job_before: id of the job that was watched then.
        notice: one sentence on what the user did wrong.
        left_out: one sentence on what the result was made with that the page has no field for.
    """

    job: str = ""
    shown: str = ""
    before: str = ""
    job_before: str = ""
    notice: str = ""
    left_out: str = ""

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to warn of beside the result on show."""
        return (self.left_out,) if self.left_out else ()


def is_active(view: View, jobs: Jobs) -> bool:
    """Whether the watched job still waits or runs."""
    job = jobs.find(view.job)
    return job is not None and not job.snapshot.state.finished


def made(view: View, jobs: Jobs) -> tuple[Entry, ...]:
    """The results that the watched job has made so far."""
    job = jobs.find(view.job)
    return () if job is None else job.snapshot.entries


def shown_entry(view: View, jobs: Jobs) -> Entry | None:
    """The result to show: of a watched job that is done the chosen one or its last, or else what stood there before."""
    job = jobs.find(view.job)
    if job is not None and job.snapshot.entry is not None:
        chosen = (entry for entry in job.snapshot.entries if entry.name == view.shown)
        return next(chosen, job.snapshot.entry)
    return jobs.history.find(view.shown)


def without_job(view: View, jobs: Jobs) -> View:
    """What stays when the next job comes to nothing."""
    entry = shown_entry(view, jobs)
    return View(shown=entry.name if entry else "")


def moment(view: View, jobs: Jobs) -> tuple:
    """Equal as long as there is nothing new to draw."""
    job = jobs.find(view.job)
    if job is None:
        return (view, jobs.model.state)
    return (
        view,
        jobs.model.state,
        job.snapshot.state,
        len(job.snapshot.entries),
        job.snapshot.step,
        job.cancel_wanted,
        jobs.ahead_of(job),
    )


def stage(view: View, jobs: Jobs) -> str:
    """The picture, as far as it has come."""
    job = jobs.find(view.job)
    now = job.snapshot if job is not None else None
    if now is not None and now.source is not None:
        return markup.in_progress(now.source.size, now.preview)
    entry = shown_entry(view, jobs)
    if entry is not None:
        return markup.compare(entry.source, entry.result, entry.settings["size"])
    return markup.nothing_yet()


def news(view: View, jobs: Jobs) -> str:
    """The status line."""
    job = jobs.find(view.job)
    if view.notice:
        return markup.status(markup.sentence(view.notice), "error")
    if job is not None:
        return _job_news(view, job.snapshot, jobs)
    entry = shown_entry(view, jobs)
    if entry is not None:
        text = say("Say what to change next.") if view.before else say("One of your results")
        return markup.status(text, "done", details=_facts(entry), warnings=view.cautions)
    if jobs.ready:
        return markup.status(say("Ready."))
    if jobs.model.coming is None and jobs.model.state is not ModelState.LOADING:
        return markup.status(say("No model is loaded; load one on the tab “Model”."))
    return markup.status(say("Loading the editor… You can start already."), "busy")


def _job_news(view: View, now: JobSnapshot, jobs: Jobs) -> str:
    entry, job = shown_entry(view, jobs), jobs.find(view.job)
    if now.entry is not None:
        warnings = (*now.warnings, *view.cautions)
        return markup.status(say("Done"), "done", details=_facts(entry), notes=now.notes, warnings=warnings)
    if now.state is JobState.FAILED:
        return markup.status(markup.sentence(now.error) + _kept(now), "error")
    if now.state is JobState.CANCELLED:
        return markup.status(say("Cancelled.") + (_kept(now) or f" {say('Nothing was saved.')}"))
    if job.cancel_wanted:
        return markup.status(say("Cancelling…"), "busy")
    if not jobs.ready:
        return markup.status(say("Loading the editor… Your edit starts right after."), "busy")
    if now.state is JobState.WAITING:
        ahead = jobs.ahead_of(job) + 1  # the one that runs
        many = say("Waiting for {count} edits to finish…", count=ahead)
        return markup.status(say("Waiting for one edit to finish…") if ahead == 1 else many, "busy")
    if now.seconds_left is None:
        return markup.status(say("Starting…"), "busy")
    left = say("about {seconds} s left", seconds=max(1, round(now.seconds_left)))
    text = say("Step {step} of {steps}", step=now.step, steps=now.steps)
    return markup.status(text, "busy", now.step / now.steps, say("saving") if now.step == now.steps else left)


def _kept(now: JobSnapshot) -> str:
    """What a series that came to nothing has left behind."""
    count = len(now.entries)
    if count == 0:
        return ""
    many = say("{count} pictures were finished before and kept.", count=count)
    return f" {say('One picture was finished before and kept.') if count == 1 else many}"


def _facts(entry: Entry) -> str:
    settings = entry.settings
    width, height = settings["size"]
    steps = say("1 step") if settings["steps"] == 1 else say("{count} steps", count=settings["steps"])
    facts = [f"{width} × {height}", say("seed {seed}", seed=settings["seed"]), steps]
    strength = settings.get("strength") or {}
    if strength.get("value", 1) != 1:
        facts.append(say("strength {strength}", strength=f"{strength['value']:g}"))
    return " · ".join(facts)
