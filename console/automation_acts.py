"""What acts on hooks and jobs do: dialog, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable

from console import automation_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.automation_facts import next_words
from console.target import Target
from core.api.hooks import HookState, HookView, PauseHook, ReloadHooks, ResumeHook, TestHook
from core.api.jobs import AddJob, JobState, JobView, PauseJob, PreviewSchedule, RemoveJob, ResumeJob, RunJob


class AutomationActs(ActGroup[GroupHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "hook.pause": self._pause_hook,
            "hook.resume": self._pause_hook,
            "hook.test": self._test_hook,
            "hook.reload": self._reload_hooks,
            "job.pause": self._pause_job,
            "job.resume": self._pause_job,
            "job.run": self._run_job,
            "job.add": self._add_job,
            "job.remove": self._remove_job,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "hook.pause": self._hook_cannot_pause,
            "hook.resume": self._hook_not_paused,
            "hook.test": self._no_hook,
            "job.pause": self._no_job,
            "job.resume": self._job_not_paused,
            "job.run": self._no_job,
            "job.remove": self._job_stays,
        }

    def _hook(self, target: Target) -> HookView | None:
        return self._host.mirror.work.automation.hooks.get(target.hook)

    def _job(self, target: Target) -> JobView | None:
        return self._host.mirror.work.automation.jobs.get(target.job)

    def _no_hook(self, target: Target) -> str:
        return "" if self._hook(target) else "no hook is under the cursor"

    def _no_job(self, target: Target) -> str:
        return "" if self._job(target) else "no job is under the cursor"

    def _hook_cannot_pause(self, target: Target) -> str:
        view = self._hook(target)
        if view is None:
            return "no hook is under the cursor"
        return "" if view.state in {HookState.READY, HookState.PAUSED} else f"it is {view.state.value}"

    def _hook_not_paused(self, target: Target) -> str:
        view = self._hook(target)
        return "" if view is not None and view.state is HookState.PAUSED else "it is not paused"

    def _job_not_paused(self, target: Target) -> str:
        view = self._job(target)
        return "" if view is not None and view.paused_by else "it is not paused"

    def _job_stays(self, target: Target) -> str:
        view = self._job(target)
        if view is None:
            return "no job is under the cursor"
        return "it is written in config.yaml: remove it there, or pause it" if view.is_configured else ""

    # -- hooks

    async def _pause_hook(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._hook(target)
        if view is None:
            return
        if view.state is HookState.PAUSED:
            await self._host.order(ResumeHook(name=view.name), receipts.hook_words)
            return
        lines = ["it is told nothing until it is resumed; what happens meanwhile it never hears of"]
        screen = ConfirmScreen(f"pause {text.clean(view.name)}?", lines, ask_reason=True, verb="pause")
        if await self._host.ask(screen):
            await self._host.order(PauseHook(name=view.name, reason=screen.reason), receipts.hook_words)

    async def _test_hook(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._hook(target)
        if view is None:
            return
        lines = [
            f"it is handed a made-up event of {', '.join(map(text.clean, view.events)) or 'its kind'}",
            f"whatever it does with one it does now; limit {view.timeout_s:g} s",
        ]
        if await self._host.ask(ConfirmScreen(f"try {text.clean(view.name)}?", lines, verb="try")):
            await self._host.order(TestHook(name=view.name), receipts.trial_words)

    async def _reload_hooks(self, _target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        lines = ["every folder is read again and every hook gets a new process; what waits for one is dropped"]
        if await self._host.ask(ConfirmScreen("read all hooks again?", lines, verb="read")):
            await self._host.order(ReloadHooks(), receipts.loaded_words)

    # -- jobs

    async def _pause_job(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._job(target)
        if view is None:
            return
        if view.paused_by:
            await self._host.order(ResumeJob(name=view.name), receipts.job_words)
            return
        countdown = next_words(view, self._age)
        due = {"-": "it has no further time", "now": "it is due now"}.get(countdown, f"next was due in {countdown}")
        lines = [due, "its times go by; a run that goes on ends as usual"]
        screen = ConfirmScreen(f"pause {text.clean(view.name)}?", lines, ask_reason=True, verb="pause")
        if await self._host.ask(screen):
            await self._host.order(PauseJob(name=view.name, reason=screen.reason), receipts.job_words)

    async def _run_job(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._job(target)
        if view is None:
            return
        spec = view.spec
        lines = [
            f"{text.clean(spec.agent) or 'the default agent'} is asked: {text.cut(text.clean(spec.text), 200)}",
            f"the answer goes to {text.clean(spec.deliver)}" if spec.deliver else "the answer is kept here",
            "after the run that goes on" if view.state is JobState.RUNNING else "in a new epoch of its conversation",
        ]
        if await self._host.ask(ConfirmScreen(f"run {text.clean(view.name)} now?", lines, verb="run")):
            await self._host.order(RunJob(name=view.name), receipts.ordered_words)

    async def _add_job(self, _target: Target, _action: Action) -> None:
        from console.screens.job_form import NewJobScreen
        from console.widgets.confirm import ConfirmScreen

        agents = ["", *sorted(self._host.mirror.profiles)]
        draft = await self._host.ask(NewJobScreen(agents))
        while draft is not None:
            query = PreviewSchedule(schedule=draft.schedule, timezone=draft.timezone, count=3)
            preview = await self._host.question(query)
            if preview is not None:
                times = [f"  {text.stamp(at)}" for at in preview.times_at] or ["  never"]
                lines = [f"{text.clean(preview.words)}; next:", *times, text.cut(text.clean(draft.text), 200)]
                if not await self._host.ask(ConfirmScreen(f"make {text.clean(draft.name)}?", lines, verb="make it")):
                    return
                if await self._host.order(AddJob(name=draft.name, spec=draft.spec), receipts.job_words):
                    return
            # The core said what is wrong; nothing that was typed is lost.
            draft = await self._host.ask(NewJobScreen(agents, draft, "not made: the core said why"))

    async def _remove_job(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._job(target)
        if view is None:
            return
        lines = [f"{text.clean(view.words)}; it ran {text.counted(view.run_count, 'time')}"]
        screen = ConfirmScreen(
            f"remove {text.clean(view.name)}?", lines, loses=[action.loses], typed=view.name, verb="remove"
        )
        if await self._host.ask(screen):
            await self._host.order(RemoveJob(name=view.name), receipts.removed_words)
