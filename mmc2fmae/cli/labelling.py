"""`mmc2fmae label`, from the command line's arguments to a labelled dataset."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import mmc2fmae
from mmc2fmae import env
from mmc2fmae.datasets.photograph_lists import require_unique_stems
from mmc2fmae.devices import find_device
from mmc2fmae.errors import first_names
from mmc2fmae.files import list_photographs, write_atomically
from mmc2fmae.labeling import models, survey
from mmc2fmae.labeling.detection import GroundingDinoDetector
from mmc2fmae.labeling.instances import ThresholdSchedule
from mmc2fmae.labeling.jobs import Job
from mmc2fmae.labeling.labeller import Labeller, MergeOptions
from mmc2fmae.labeling.pipeline import Source, run_job
from mmc2fmae.labeling.prompts import read_prompts
from mmc2fmae.labeling.segmentation import SamHqSegmenter
from mmc2fmae.labeling.semantics import semantic_labeller
from mmc2fmae.parallel import available_cores
from mmc2fmae.preparation.conversion import check_room
from mmc2fmae.preparation.layout import claim_labels, link_photographs, read_manifest

KIND = dict(kind='pseudo-labels')  # in labels.json
AMP = {'bf16': torch.bfloat16, 'fp16': torch.float16, 'off': None}


def label(args: argparse.Namespace) -> None:
    """Label, or look before.

    Raises:
        FileNotFoundError: There are no photographs.
        DatasetError: Two photographs would share their maps.
    """
    fill_in(args)
    rank, world_size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    schedule = ThresholdSchedule(args.threshold, args.step, args.floor, args.min_detections)
    merge = MergeOptions(schedule, min_area=args.min_area)
    names = list_photographs(args.images) if args.images.is_dir() else []
    if not names:
        raise FileNotFoundError(f'{args.images} is no folder of photographs')
    require_unique_stems(args.images, names)
    prompts = read_prompts(args.prompts, names)
    described = {
        role: models.describe_model(getattr(args, role))
        for role in ('detector', 'segmenter', 'semantic')
    }
    source = Source(args.images, names, prompts.names_of)
    how = (torch.device(args.device), AMP[args.amp], args.batch_size)
    detector = GroundingDinoDetector(args.detector, *how)
    for asked in prompts.table.values():
        detector.prompts(asked)  # a name that is too long shows now, not in the third hour
    if args.sweep:
        print_sweep(source, detector, schedule, args.sweep, args.out / 'sweep.png')
        return
    labeller = Labeller(
        detector,
        SamHqSegmenter(args.segmenter, *how),
        semantic_labeller(args.semantic, *how, args.min_confidence),
        merge,
        args.batch_size,
    )
    if args.estimate:
        found = survey.estimate(
            source,
            labeller,
            number=args.estimate,
            part_size=args.part_size,
            workers=args.workers,
            near=args.out,
        )
        print(found.describe(len(names)))
        return
    settings = deciding(args, merge, described, prompts.digest())
    job = Job(args.out, args.split, names, args.part_size, settings)
    with job.claim(rank):
        if rank == 0:
            left = len(names) - sum(len(job.parts[i]) for i in job.done())
            check_room(args.out, 2 * left)
            link_photographs(args.images, args.out, args.split)
            made = settings | dict(environment=env.collect())
            claim_labels(args.out, args.split, labeller.semantic.classes, KIND, made)
        line = {role: model['name'] for role, model in described.items()}
        line |= dict(version=mmc2fmae.__version__)
        if run_job(
            job,
            source,
            labeller=labeller,
            models=line,
            rank=rank,
            world_size=world_size,
            workers=args.workers,
        ):
            summarise(job)


def fill_in(args: argparse.Namespace) -> None:
    """Fill in what the machine and the folder decide where the command line does not."""
    cores = available_cores() // int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    args.workers = args.workers or max(1, min(8, cores))
    args.device = str(find_device(args.device))
    args.amp = args.amp or ('bf16' if args.device.startswith('cuda') else 'off')
    args.split = args.split or args.images.resolve().name


def print_sweep(
    source: Source,
    detector: GroundingDinoDetector,
    schedule: ThresholdSchedule,
    number: int,
    picture: Path,
) -> None:
    """Print what each threshold of the schedule finds on some photographs, and draw their boxes."""
    print('threshold  enough detections  mean detections  stops here')
    for row in survey.sweep(source, detector, schedule, number, picture):
        print('{threshold:9.2f} {enough:18.1%} {detections:16.2f} {used:11.1%}'.format(**row))
    print(f'{picture}: boxes above the threshold of their photograph are green')


def deciding(
    args: argparse.Namespace, merge: MergeOptions, described: dict[str, dict], prompts: str
) -> dict[str, Any]:
    """Return all that decides a map: a run with other settings is refused, not mixed in."""
    merging = asdict(merge)
    merging |= merging.pop('schedule')
    return dict(
        version=mmc2fmae.__version__,
        models=described,
        prompts=prompts,
        **merging,
        min_confidence=args.min_confidence,
        batch_size=args.batch_size,
        amp=args.amp,
    )


def summarise(job: Job) -> None:
    """Print what was made, and list the labelled photographs where some could not be read."""
    labelled = instances = empty = 0
    coverage, errors = 0.0, []
    for line in read_manifest(job.manifest):
        if 'error' in line:
            errors.append(line['error'])
            continue
        labelled += 1
        instances += len(line['instances'])
        empty += not line['instances']
        coverage += line['coverage']
    print(
        f'{job.manifest}: {labelled:,} photographs labelled, {instances / max(labelled, 1):.2f} '
        f'instances and {coverage / max(labelled, 1):.1%} covered on average, {empty:,} without '
        'an instance'
    )
    train = f'python tools/train.py configs/pretrain/c2fmae_vitb_400e.py --data-root {job.root}'
    if errors:
        listed = job.root / f'{job.split}.txt'
        whole = (line['path'] for line in read_manifest(job.manifest) if 'error' not in line)
        write_atomically('\n'.join(whole).encode(), listed)
        print(f'{len(errors):,} photographs have no maps, first {first_names(errors)}')
        train += f' --cfg-options train_dataloader.dataset.ann_file={listed.name}'
    print(f'check it:   python tools/check_dataset.py {job.root} --split {job.split}')
    print(f'look at it: python tools/browse_dataset.py {job.root} sheets --split {job.split}')
    if job.split == 'train':
        print(f'train:      {train}')
