"""From tables to stages: what must be trained, once, for whatever rows ask for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.stage import PlanError, Stage
from mmc2fmae.reproduce.tables import SCRATCH, Preset, Protocol, Row, Suite, Table


@dataclass
class Plan:
    """Stages in an order in which they can run, and the cells that they serve.

    Attributes:
        preset: The preset.
        tables: Tables that were asked for.
        rows: Table id to rows that were asked for.
        suite: Protocols and presets.
        stages: Key to stage; each comes after what it depends on.
        cells: (table, row, seed) to the keys of the stages with the numbers, one a protocol.
    """

    preset: Preset
    tables: Sequence[Table]
    rows: Mapping[str, Sequence[Row]]
    suite: Suite
    stages: dict[str, Stage] = field(default_factory=dict)
    cells: dict[tuple[str, str, int], tuple[str, ...]] = field(default_factory=dict)

    def serves(self, key: str) -> list[str]:
        """Return the rows, as 'table/row', that need a stage."""
        found: dict[str, None] = {}
        for (table, row, _), measured in self.cells.items():
            for last in measured:
                stage: Stage | None = self.stages[last]
                while stage is not None:
                    if stage.key == key:
                        found[f'{table}/{row}'] = None
                    stage = stage.upstream
        return list(found)

    def by_kind(self, keys: Iterable[str] | None = None) -> dict[str, int]:
        """Return the number of stages of each kind, fine-tunings by task.

        Args:
            keys: Stages to count; None counts all.
        """
        count: dict[str, int] = {}
        for key in self.stages if keys is None else keys:
            kind = self.stages[key].subject
            count[kind] = count.get(kind, 0) + 1
        return count


def make_plan(
    tables: Sequence[Table],
    rows: Mapping[str, Sequence[Row]],
    suite: Suite,
    preset: Preset,
    seeds: Iterable[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    limit: int | None = None,
    data_root: Path = Path('data'),
    predictions: bool = False,
) -> Plan:
    """Lay out the stages of tables; equal ones are shared, whoever asks for them.

    All rows of one seed come before the next seed, so that an early report has whole tables.

    Args:
        tables: Tables.
        rows: Table id to the rows to fill.
        suite: Protocols and presets.
        preset: Preset.
        seeds: Seeds in place of the preset's.
        overrides: Config fields to override in every training.
        limit: Smoke run: training steps of each stage, images of each robustness cell.
        data_root: Where the preset's scenes are drawn.
        predictions: Whether to keep what every classifier says of every validation photograph.

    Raises:
        ValueError: A config cannot be read or an override does not fit.
    """
    plan = Plan(preset, tables, rows, suite)
    maker = _Maker(suite, preset, dict(overrides or {}), limit)
    for folder, options in preset.scenes.items():
        _add(plan, maker.scenes(data_root / folder, options))
    for seed in dict.fromkeys(preset.seeds if seeds is None else seeds):
        for table in tables:
            for row in rows[table.id]:
                stages = maker.row(row, seed)
                for stage in stages:
                    _add(plan, stage)
                if stages:
                    plan.cells[table.id, row.id, seed] = tuple(stage.key for stage in stages)
    if predictions:
        for stage in list(plan.stages.values()):
            if stage.kind == 'finetune' and stage.subject == 'classification':
                _add(plan, maker.predictions(stage))
    return plan


def protocol_digest(protocol: Protocol, suite: Suite) -> str:
    """Return the digest of what a protocol's numbers depend on.

    Args:
        protocol: The protocol.
        suite: Where the protocol is that it evaluates, for robustness.
    """
    cfg = configs.read_config(protocol.config)
    if protocol.after is None:
        return configs.digest(cfg)
    before = protocol_digest(suite.protocols[protocol.after], suite)
    return configs.digest_of([cfg.robustness, before])


def _add(plan: Plan, stage: Stage) -> None:
    if stage.upstream is not None:
        _add(plan, stage.upstream)
    plan.stages.setdefault(stage.key, stage)


class _Maker:
    def __init__(
        self, suite: Suite, preset: Preset, overrides: dict[str, Any], limit: int | None
    ) -> None:
        self.suite, self.preset, self.own, self.limit = suite, preset, overrides, limit

    def scenes(self, out: Path, arguments: str) -> Stage:
        identity = configs.digest_of(['scenes', out.name, arguments])
        options = dict(out=str(out.absolute()), arguments=arguments)
        return Stage('scenes', out.name, identity, options=options)

    def row(self, row: Row, seed: int) -> list[Stage]:
        source = row.sources.get(self.preset.name.partition('-')[0])
        if source is not None:
            before = self.pretrain(source.start, seed)
            start, protocols = self.pretrain(source.pretrain, seed, before), source.protocols
        elif row.bring and self.preset.comparable:
            start, protocols = self.bring(row.bring), row.brought_protocols
        else:
            return []
        return [self.evaluate(self.suite.protocols[name], start, seed) for name in protocols]

    def pretrain(self, config: Path | None, seed: int, start: Stage | None = None) -> Stage | None:
        if config is None:
            return None
        name = f'{config.stem}-from-{start.name}' if start else config.stem
        return self._train(
            'pretrain',
            name,
            config=config,
            part='pretrain',
            seed=seed,
            upstream=start,
            protocol=None,
        )

    def bring(self, entry: Mapping[str, str]) -> Stage:
        name = entry['file']
        identity = configs.digest_of(['bring', name])
        return Stage('bring', name, identity, options=dict(source=entry['source']))

    def undeclared(self, protocol: Protocol) -> list[str]:
        """Say where a protocol's config is no longer what its version stands for."""
        found = protocol_digest(protocol, self.suite)
        same = protocol.digest in (None, found)
        return [] if same else [f'{protocol.config.name} is no longer that of {protocol.id}']

    def evaluate(self, protocol: Protocol, start: Stage | None, seed: int) -> Stage:
        name = f'{protocol.name}-{start.name if start else SCRATCH}'
        if protocol.after is None:
            config = protocol.config
            return self._train(
                'finetune',
                name,
                config=config,
                part=protocol.id,
                seed=seed,
                upstream=start,
                protocol=protocol,
            )
        tuned = self.evaluate(self.suite.protocols[protocol.after], start, seed)
        overrides = self.preset.overrides.get(protocol.id, {})
        before = configs.read_config(protocol.config)
        after = configs.read_config(protocol.config, overrides)
        modified = [*self.undeclared(protocol), *configs.changes(before, after), *tuned.modified]
        parts = ['robustness', configs.relevant(after), tuned.identity, self.limit]
        return Stage(
            kind='robustness',
            name=name,
            identity=configs.digest_of(parts),
            config=protocol.config,
            overrides=overrides,
            seed=seed,
            upstream=tuned,
            protocol=protocol,
            modified=tuple(dict.fromkeys(modified)),
            limit=self.limit,
        )

    def predictions(self, tuned: Stage) -> Stage:
        return replace(
            tuned,
            kind='predictions',
            identity=configs.digest_of(['predictions', tuned.identity]),
            upstream=tuned,
            protocol=None,
        )

    def _train(
        self,
        kind: str,
        name: str,
        config: Path,
        part: str,
        seed: int,
        upstream: Stage | None,
        protocol: Protocol | None,
    ) -> Stage:
        tokens = _class_tokens(upstream, config) if protocol else {}
        overrides = {**tokens, **self.preset.overrides.get(part, {}), **self.own}
        before, after = configs.read_config(config, tokens), configs.read_config(config, overrides)
        if 'base_batch_size' not in after.get('auto_scale_lr', {}):
            raise PlanError(
                f'{config} does not say the batch of a step: add auto_scale_lr = '
                'dict(base_batch_size=<batch that the learning rate is for>)'
            )
        if self.limit:
            overrides = overrides | _few_steps(after, self.limit)
            after = configs.read_config(config, overrides)
        prefix = '' if protocol else 'pre-training: '
        modified = [f'{prefix}{line}' for line in configs.changes(before, after)]
        modified += self.undeclared(protocol) if protocol else []
        modified += upstream.modified if upstream else ()
        recipe = configs.relevant(after)
        identity = configs.digest_of([kind, recipe, seed, upstream and upstream.identity])
        return Stage(
            kind=kind,
            name=name,
            identity=identity,
            config=config,
            overrides=overrides,
            seed=seed,
            upstream=upstream,
            protocol=protocol,
            modified=tuple(modified),
            limit=self.limit,
        )


def _class_tokens(pretrained: Stage | None, config: Path) -> dict[str, Any]:
    """Return the override that gives a model the class tokens (proxies) it is to start from.

    It belongs to the encoder, as its weights do, so it is no modification of the protocol.
    """
    if pretrained is None or pretrained.kind != 'pretrain':
        return {}
    field = 'num_cls_tokens'
    encoder = pretrained.load_config().model.get('backbone', {})
    tokens = encoder.get('proxies') or encoder.get(field, 1)
    here = configs.read_config(config).model.get('backbone', {}).get(field, 1)
    return {} if tokens == here else {f'model.backbone.{field}': tokens}


def _few_steps(cfg: Config, steps: int) -> dict[str, Any]:
    """Return the overrides that end a training after a few steps and a short validation."""
    if 'max_iters' in cfg.train_cfg:
        few = {'train_cfg.max_iters': steps, 'train_cfg.val_interval': steps,
               'default_hooks.checkpoint.interval': steps}  # fmt: skip
    else:
        images = steps * cfg.auto_scale_lr.base_batch_size
        few = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1,
               'train_dataloader.dataset.indices': images}  # fmt: skip
    if cfg.get('val_dataloader'):
        few['val_dataloader.dataset.indices'] = steps * cfg.val_dataloader.batch_size
    return few
