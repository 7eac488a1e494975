"""Run what is missing, in order, as separate processes that may end at any moment."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mmc2fmae.configs import CHECKOUT
from mmc2fmae.env import collect as collect_environment
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.collect import collect, describe
from mmc2fmae.reproduce.commands import RunOptions, command, environment
from mmc2fmae.reproduce.cost import Cost
from mmc2fmae.reproduce.lock import PATIENCE, WorkDirLock
from mmc2fmae.reproduce.plan import Plan
from mmc2fmae.reproduce.stage import Stage
from mmc2fmae.state_files import set_aside

SAY_EVERY = 60.0  # seconds between two progress lines

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How a run of a plan ended.

    Attributes:
        done: Keys of stages that were run to their end.
        failed: Keys of stages that failed.
        skipped: Keys of stages that need a failed or absent one.
        interrupted: Whether it was asked to stop.
    """

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def status(self) -> int:
        """Exit status: 0 all is done, 1 something failed or was skipped, 130 interrupted."""
        return 130 if self.interrupted else int(bool(self.failed or self.skipped))


@dataclass
class _Child:
    stage: Stage
    process: subprocess.Popen[bytes] | None
    folder: Path
    started: float


def run_plan(
    plan: Plan,
    options: RunOptions,
    costs: Mapping[str, Cost],
    say: Say = print,
    make_command: Callable[[Stage, RunOptions], list[str] | None] = command,
) -> Outcome:
    """Run every stage of a plan that is missing.

    Each stage is a process of its own; its output goes to ``log.txt`` in its folder. A stage that
    fails shows its last lines and takes nothing down but what needs it. SIGINT and SIGTERM end the
    processes in an orderly way. Whatever happens, the next call goes on from there.

    Args:
        plan: The plan, checked.
        options: How to run.
        costs: What is expected of each stage, for the time left.
        say: Takes progress lines.
        make_command: Returns the command of a stage; see :func:`command`.

    Raises:
        AlreadyRunning: Another runner works in the same work dir.
        PlanError: A file of the work dir is damaged.
    """
    with WorkDirLock(options.work_dir) as lock:
        _note_run(plan, options.work_dir, say)
        runner = _Runner(
            plan=plan, options=options, costs=costs, say=say, make_command=make_command, lock=lock
        )
        before = {n: signal.signal(n, runner.stop) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            return runner.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Runner:
    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        costs: Mapping[str, Cost],
        say: Say,
        make_command: Callable[[Stage, RunOptions], list[str] | None],
        lock: WorkDirLock,
    ) -> None:
        self.plan, self.options, self.costs = plan, options, costs
        self.make_command, self.lock = make_command, lock
        self.tell, self.begin, self.said = say, time.monotonic(), time.monotonic()
        self.todo = results.pending(options.work_dir, plan.stages)
        self.total = len(self.todo)
        self.children: list[_Child] = []
        self.outcome = Outcome()
        self.stopping = False

    def run(self) -> Outcome:
        """Start and collect stages until nothing is left."""
        for stage in self.todo:
            if results.state(self.options.work_dir, stage) in ('vanished', 'done elsewhere'):
                self.say(f'the checkpoint of {stage.key} is not here and is needed: run again')
        while (self.todo or self.children) and not self.stopping:
            self._start()
            self._collect()
            if self.children and time.monotonic() - self.said > SAY_EVERY:
                places = [f'{c.stage.key}: {results.where_in_log(c.folder)}' for c in self.children]
                self.say(f'{"; ".join(places)}; about {_clock(self._left())} left')
            if self.children:
                time.sleep(0.05)
        self._end_children()
        self.outcome.interrupted = self.stopping
        return self.outcome

    def stop(self, *_: object) -> None:
        """Take a signal: the loop ends, and the children with it."""
        self.stopping = True

    def say(self, text: str) -> None:
        """Print a line with what is done and how long it took."""
        self.said = time.monotonic()
        count = len(self.outcome.done)
        clock = _clock(self.said - self.begin)
        self.tell(f'[{count:{len(str(self.total))}}/{self.total}] {clock} {text}')

    def _start(self) -> None:
        """Start what can start, up to the number of jobs."""
        active = {child.stage.key for child in self.children}
        blocked = {stage.key for stage in self.todo} | active
        scenes = any(self.plan.stages[key].kind == 'scenes' for key in blocked)
        bad = {*self.outcome.failed, *self.outcome.skipped}
        lost = any(self.plan.stages[key].kind == 'scenes' for key in bad)
        for stage in list(self.todo):
            upstream = stage.upstream.key if stage.upstream else None
            needs_scenes = stage.kind != 'scenes'
            if upstream in bad or (lost and needs_scenes):
                self.todo.remove(stage)
                self.outcome.skipped.append(stage.key)
                bad.add(stage.key)
                self.say(f'skipped {stage.key}: what it starts from failed')
            elif len(self.children) < self.options.jobs and not (
                upstream in blocked or (scenes and needs_scenes)
            ):
                self.todo.remove(stage)
                self._launch(stage)

    def _launch(self, stage: Stage) -> None:
        folder = results.stage_folder(self.options.work_dir, stage)
        result = folder / 'result.json'
        old = results.read_json(result)
        if old is not None and not results.is_done(self.options.work_dir, stage):
            aside = folder.with_name(f'{folder.name}.{old["protocol"]}')
            os.replace(folder, aside)
            self.say(f'{stage.key} was measured by {old["protocol"]}: kept as {aside.name}')
        result.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._note_attempt(folder, stage)
        try:
            arguments = self.make_command(stage, self.options)
        except Exception as problem:  # this stage cannot start, others may
            self._fail(_Child(stage, None, folder, time.monotonic()), 1, str(problem))
            return
        process = None
        if arguments is not None:
            with open(folder / 'log.txt', 'ab') as log:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=CHECKOUT,  # None, without one: the current folder
                    env=environment(self.options),
                    start_new_session=True,  # Ctrl-C reaches the runner alone, which ends it
                    pass_fds=[self.lock.handle],
                )
        self.children.append(_Child(stage, process, folder, time.monotonic()))
        self._note_groups()
        again = ' (continues)' if len(_attempts(folder)) > 1 else ''
        self.say(f'start  {stage.key}{again}, about {_clock(self.costs[stage.key].seconds)}')

    def _collect(self) -> None:
        """See which children ended, and how."""
        for child in list(self.children):
            memory, cpu, code = None, None, 0
            if child.process is not None:
                pid, status, usage = os.wait4(child.process.pid, os.WNOHANG)
                if pid == 0:
                    continue
                code = child.process.returncode = os.waitstatus_to_exitcode(status)
                _kill_group(pid, signal.SIGKILL)  # data workers that a killed tool left
                memory, cpu = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
            self.children.remove(child)
            self._note_groups()
            self._finish(child, code, memory, cpu)

    def _finish(self, child: _Child, code: int, memory: float | None, cpu: float | None) -> None:
        _close_attempt(child.folder, code)
        stage, error = child.stage, f'exit status {code}'
        if code == 0:
            try:
                seconds = sum(attempt['seconds'] for attempt in _attempts(child.folder))
                preset = self.plan.preset.name
                work_dir = self.options.work_dir
                found = collect(
                    stage,
                    work_dir,
                    preset=preset,
                    seconds=seconds,
                    memory_mib=memory,
                    cpu_seconds=cpu,
                )
                results.write_json(found, child.folder / 'result.json')
            except Exception as problem:  # whatever it is, the other stages go on
                code, error = 1, str(problem)
        if code:
            self._fail(child, code, error)
            return
        self.outcome.done.append(stage.key)
        numbers = [f'{name} {metric["value"]:.2f}' for name, metric in found['metrics'].items()]
        self.say(' '.join([f'done   {stage.key} in {_clock(found["seconds"])}', *numbers]))

    def _fail(self, child: _Child, code: int, error: str) -> None:
        _close_attempt(child.folder, code)
        self.outcome.failed.append(child.stage.key)
        self.say(f'FAILED {child.stage.key} ({error}); last lines of {child.folder}/log.txt:')
        for line in results.log_tail(child.folder):
            self.tell(f'    {line}')

    def _end_children(self) -> None:
        for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
            running = [(c, c.process) for c in self.children if c.process is not None]
            for _, process in running:
                _kill_group(process.pid, number)
            end = time.monotonic() + patience
            for child, process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(end - time.monotonic(), 0))
                    _kill_group(process.pid, signal.SIGKILL)
                    _close_attempt(child.folder, 'interrupted')
                    self.children.remove(child)
                    self.say(f'stopped {child.stage.key}; the next run continues it')

    def _left(self) -> float:
        """Return the seconds that are expected until the end."""
        seconds = sum(self.costs[stage.key].seconds for stage in self.todo)
        for child in self.children:
            expected = self.costs[child.stage.key].seconds
            seconds += max(expected - (time.monotonic() - child.started), 0)
        return seconds / self.options.jobs

    def _note_groups(self) -> None:
        self.lock.note([c.process.pid for c in self.children if c.process is not None])

    def _note_attempt(self, folder: Path, stage: Stage) -> None:
        attempts = _attempts(folder)
        for attempt in attempts:
            if 'seconds' not in attempt:  # the runner was killed: the log was written until then
                last = _modified(folder / 'log.txt', attempt['started'])
                attempt['seconds'] = round(max(last - attempt['started'], 0), 1)
        attempts.append(dict(started=time.time()))
        results.write_json(describe(stage) | dict(attempts=attempts), folder / 'stage.json')


def _attempts(folder: Path) -> list[results.Json]:
    return list((results.read_json(folder / 'stage.json') or {}).get('attempts', []))


def _close_attempt(folder: Path, code: int | str) -> None:
    data = results.read_json(folder / 'stage.json') or {}
    last = (data.get('attempts') or [dict(started=time.time())])[-1]
    data['attempts'] = [*data.get('attempts', [])[:-1], last]
    last.setdefault('seconds', round(time.time() - last['started'], 1))
    last['exit'] = code
    results.write_json(data, folder / 'stage.json')


def _modified(path: Path, default: float) -> float:
    return path.stat().st_mtime if path.is_file() else default


def _kill_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _note_run(plan: Plan, work_dir: Path, say: Say) -> None:
    """Keep which commit ran in the work dir; another one than before is said."""
    found = collect_environment()
    now = dict(commit=found['commit'], dirty=found['dirty'])
    path = work_dir / 'runs.jsonl'
    before = _last_run(path) or now
    if before['commit'] != now['commit']:
        say(
            f'warning: {work_dir} was last used at commit {before["commit"]}, now it is '
            f'{now["commit"]}: results of both will stand side by side (the report says which)'
        )
    tables = [table.id for table in plan.tables]
    record = dict(time=time.time(), preset=plan.preset.name, tables=tables, **now)
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(record) + '\n')


def _last_run(path: Path) -> results.Json | None:
    """Return the last line of the record of runs; a record that is none is set aside."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        if not lines:
            return None
        last = json.loads(lines[-1])
        if isinstance(last, dict) and isinstance(last['commit'], str | None):
            return last
        reason = f'its last line is {lines[-1][:60]}'
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, RecursionError) as error:
        reason = f'{type(error).__name__}: {str(error)[:100]}'
    set_aside(path, reason)
    return None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes // 60}:{minutes % 60:02}:{seconds:02}'
