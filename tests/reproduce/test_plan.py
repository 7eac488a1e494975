"""Which stages tables need."""

import pytest

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.stage import PlanError
from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows


def counts(names, preset, bring=False, **options):
    tables, suite = load_tables(names, load_suite())
    plan = make_plan(tables, pick_rows(tables, None), suite, suite.presets[preset], **options)
    if not bring:
        return plan.by_kind(key for key, s in plan.stages.items() if not _brought(s))
    return plan.by_kind()


def _brought(stage):
    while stage is not None:
        if stage.kind == 'bring':
            return True
        stage = stage.upstream
    return False


def test_stages_of_the_six_tables_counted_by_hand():
    # I: MAE, MultiMAE and C2FMAE with 400 and 1600 epochs; dagger shares one, scratch has none.
    one = counts(['table1'], 'paper')
    assert (one['pretrain'], one['classification']) == (6, 8)
    # II and III take the three of 1600 epochs; IV their classifiers as well.
    two = counts(['table2'], 'paper')
    assert (two['pretrain'], two['detection']) == (3, 3)
    four = counts(['table4'], 'paper')
    assert (four['pretrain'], four['classification'], four['robustness']) == (3, 3, 3)
    assert counts(['table5'], 'paper')['pretrain'] == 4
    # VIa 3, VIb 3, VIc 2 more, VId 3 more, VIe 3 more (R+I+S under RD is VIb's), VIf 3 more.
    assert counts(['table6'], 'paper')['pretrain'] == 17
    # All: 6 of Table I, MultiMAE on R+I+S, and the 17 of VI without the default run of Table I.
    everything = counts(['all'], 'paper')
    assert everything == {
        'classification': 25, 'pretrain': 23, 'detection': 3, 'segmentation': 3, 'robustness': 3,
    }  # fmt: skip
    brought = counts(['all'], 'paper', bring=True)  # MoCo v3, DINO, iBOT, CAE
    assert brought['bring'] == 4 and brought['classification'] == 29
    assert brought['detection'] == 6 and brought['segmentation'] == 5


def test_stages_of_the_mini_preset_counted_by_hand():
    quick = counts(['all'], 'mini-quick')
    assert quick == {
        'scenes': 4, 'classification': 20, 'pretrain': 19, 'detection': 4, 'segmentation': 4,
        'robustness': 4,
    }  # fmt: skip
    full = counts(['all'], 'mini')
    assert full['pretrain'] == 3 * 19 and full['scenes'] == 4


def test_a_row_of_several_protocols_is_pre_trained_once():
    # MAE, MultiMAE, C2FMAE, MaskFeat and BEiT with two settings of SemanticMIM each.
    paper = counts(['semanticmim'], 'paper')
    assert paper == {
        'pretrain': 9, 'classification': 9, 'detection': 9, 'segmentation': 9, 'robustness': 9,
    }  # fmt: skip
    mini = counts(['semanticmim'], 'mini-quick')  # no BEiT, but from scratch
    assert (mini['pretrain'], mini['classification'], mini['robustness']) == (6, 7, 7)


def test_the_table_of_masks_shares_the_printed_and_the_random_ones_with_the_papers_tables():
    assert counts(['masks'], 'paper') == dict(pretrain=6, classification=6, detection=6)
    paper, both = (counts(names, 'mini')['pretrain'] for names in (['all'], ['all', 'masks']))
    assert both == paper + 3 * 4


def test_pre_training_on_own_photographs_starts_from_the_drawn_scenes_where_the_row_says_so():
    tables, suite = load_tables(['own_photographs'], load_suite())
    plan = make_plan(tables, pick_rows(tables, None), suite, suite.presets['own'], seeds=[0])
    chains = {}
    for (_, row, _), (key,) in plan.cells.items():
        chains[row], stage = [], plan.stages[key].upstream
        while stage is not None:
            chains[row].append(stage.config.stem)
            stage = stage.upstream
    scenes, mae, c2fmae = 'c2fmae_mini_scenes', 'mae_mini_own_data', 'c2fmae_mini_own_data'
    assert chains == {
        'scratch': [], 'scenes': [scenes], 'mae': [mae], 'c2fmae': [c2fmae],
        'scenes-mae': [mae, scenes], 'scenes-c2fmae': [c2fmae, scenes],
    }  # fmt: skip
    assert len({stage.key for stage in plan.stages.values() if stage.kind == 'pretrain'}) == 5


def test_downstream_models_have_as_many_class_tokens_as_there_were_proxies():
    tables, suite = load_tables(['semanticmim'], load_suite())
    plan = make_plan(tables, pick_rows(tables, None), suite, suite.presets['mini'], seeds=[0])
    tokens = {}
    for (_, row, _), keys in plan.cells.items():
        for stage in map(plan.stages.__getitem__, keys):
            model = stage if stage.trains else stage.upstream_stage
            found = model.load_config().model.backbone.get('num_cls_tokens', 1)
            tokens.setdefault(row, set()).add(found)
            assert stage.modified == ()
    assert tokens.pop('semanticmim-maskfeat') == {8}
    assert set(map(frozenset, tokens.values())) == {frozenset({1})}


def test_equal_stages_of_two_tables_are_one(bench):
    plan = bench.plan()
    assert plan.cells['tablea', 'a', 0] == plan.cells['tableb', 'again', 0]
    shared = next(key for key in plan.stages if key.startswith('pretrain-a'))
    assert plan.serves(shared) == ['tablea/a', 'tableb/again']


def test_what_changes_a_result_changes_the_stage_and_nothing_else(bench):
    def keys(**options):
        return set(bench.plan(rows=['a'], tables=['tablea'], **options).stages)

    plain = keys()
    assert keys(overrides={'train_dataloader.num_workers': 9}) == plain
    assert keys(overrides={'train_dataloader.batch_size': 1}) == plain  # accumulation makes up
    for other in ({'optim_wrapper.optimizer.lr': 0.2}, {'auto_scale_lr.base_batch_size': 2}):
        assert not keys(overrides=other) & plain
    assert not keys(seeds=[7]) & plain
    assert not keys(limit=3) & plain
    config = bench.root / 'a.py'  # of the pre-training: the fine-tuning from it is another, too
    config.write_text(config.read_text().replace('max_epochs=3', 'max_epochs=4'))
    assert not keys() & plain


def test_a_result_says_how_its_recipe_was_modified(bench):
    def modified(**options):
        plan = bench.plan(rows=['a'], tables=['tablea'], **options)
        return list(plan.stages.values())[-1].modified

    assert modified() == ()
    assert modified(overrides={'train_dataloader.batch_size': 1}) == ()
    assert modified(overrides={'auto_scale_lr.base_batch_size': 2}) == (
        'batch 4 -> 2',
        'pre-training: batch 4 -> 2',
    )
    plan = bench.plan('mini-quick', rows=['a'], tables=['tablea'])  # only the pre-training is short
    assert list(plan.stages.values())[-1].modified == ('pre-training: train_cfg.max_epochs 3 -> 1',)


def test_what_waits_for_a_checkpoint_of_others_is_not_pending(bench):
    plan = bench.plan(tables=['tablea'])
    stages = results.pending(bench.work_dir, plan.stages)
    assert len(stages) == 5 and not any('other' in stage.key for stage in stages)
    bench.bring()
    stages = results.pending(bench.work_dir, plan.stages)
    assert [s.name for s in stages if 'other' in s.name] == ['tiny-ft-other_vit']


def test_a_training_must_say_its_batch(bench):
    path = bench.root / 'c.py'
    path.write_text(path.read_text().replace('auto_scale_lr', 'scale'))
    with pytest.raises(
        PlanError, match=r'c\.py does not say the batch of a step: add auto_scale_lr'
    ):
        bench.plan()


def test_an_override_that_does_not_fit_names_the_config(bench):
    with pytest.raises(ValueError, match=r'ft\.py with .*model\.name\.x'):
        bench.plan(overrides={'model.name.x': 1})


def test_a_config_that_is_not_the_declared_one_is_marked(bench):
    path = bench.root / 'suite.yaml'
    path.write_text(
        path.read_text().replace('images: 400', "images: 400\n    digest: '0123456789abcdef'")
    )
    bench.suite = load_suite(path)
    last = list(bench.plan(rows=['a'], tables=['tablea']).stages.values())[-1]
    assert last.modified == ('ft.py is no longer that of tiny-ft@1',)


def test_a_stage_without_a_config_says_so(bench):
    (brought,) = (s for s in bench.plan(tables=['tablea']).stages.values() if s.kind == 'bring')
    with pytest.raises(ValueError, match=r"bring-.* has no config: its kind 'bring'"):
        brought.load_config()
