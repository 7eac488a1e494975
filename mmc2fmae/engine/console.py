"""What the console shows: lines before a run has a logger, then progress and warnings alone."""

import logging
import os
import sys
import warnings

# Modules whose information is progress, or says what a run starts from.
_SHOWN = (
    'mmengine.hooks.logger_hook', 'mmengine.hooks.checkpoint_hook', 'mmc2fmae.engine.run_table',
    'mmc2fmae.engine.dali', 'mmc2fmae.preflight.masks', 'mmc2fmae.checkpoints', 'mmc2fmae.probes',
)  # fmt: skip
# Modules whose warnings are about mmengine's own calls: a user cannot act on them.
_NOT_FOR_USERS = (
    'mmengine.fileio', 'mmengine.evaluator.metric', 'mmengine.optim.optimizer',
    'mmengine.visualization.vis_backend',
)  # fmt: skip
# Python's warnings that no user can act on: module and start of the text, as regular expressions.
_STACK_WARNINGS = (
    (r'mmengine\.utils\.dl_utils\.setup_env', 'Setting (OMP|MKL)_NUM_THREADS'),
    (r'torch\.autograd\.graph', 'Grad strides do not match bucket view strides'),
    # Nothing is done in place to what an attention returns.
    (r'torch\.distributed\.fsdp\..*', 'FSDP2-wrapped module'),
    # mmengine steps schedulers by iteration, also while gradients accumulate.
    (r'mmengine\.optim\.scheduler\.param_scheduler', 'Detected call of `scheduler.step'),
    (r'mmseg\..*', '.* (will|would) be deprecated'),
    (r'mmseg\.models\.losses\..*', 'Default ``avg_non_ignore`` is False'),
)


def is_first_process() -> bool:
    """Tell, before the processes of a run are joined, whether this is the first one."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0


def say(text: str) -> None:
    """Print a line before the run has a logger, in the first process alone."""
    if is_first_process():
        print(text, flush=True)


def show_what_matters(logger: logging.Logger) -> None:
    """Let a logger's console have what users need; its file gets everything."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.addFilter(_for_users)


def ignore_stack_warnings() -> None:
    """Leave out warnings of the stack that no user can act on."""
    for module, message in _STACK_WARNINGS:
        warnings.filterwarnings('ignore', message, module=module)


def _for_users(record: logging.LogRecord) -> bool:
    """Tell whether the console shows a record, by the module that logged it."""
    module, function = _origin()
    if record.levelno >= logging.WARNING:
        return not _within(module, _NOT_FOR_USERS)
    in_table = function == 'before_train' and module == 'mmengine.hooks.checkpoint_hook'
    return _within(module, _SHOWN) and not in_table and not _is_run_name(record)


def _is_run_name(record: logging.LogRecord) -> bool:
    """Tell mmengine's line of a run's name from its progress: the text alone differs."""
    return record.getMessage().startswith('Exp name: ')


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f'{name}.') for name in names)


def _origin() -> tuple[str, str]:
    """Module and function of a record that is being handled; mmengine's print_log hides them."""
    frame = sys._getframe(2)
    while frame.f_back and _within(frame.f_globals['__name__'], ('logging', 'mmengine.logging')):
        frame = frame.f_back
    return frame.f_globals['__name__'], frame.f_code.co_name
