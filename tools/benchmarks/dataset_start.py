"""Time how a data set of many photographs starts, and what memory it takes.

Without data it makes empty files in class folders, a photograph and two maps a sample (a minute for
ImageNet's 1.28 million). The first start lists them; run it again, ten seconds later at least, for
the start from the cached listing.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.env import collect
from mmc2fmae.files import write_atomically

PARTS = {'train': 'JPEG', 'instance/train': 'png', 'semantic/train': 'png'}
MIB = 2**10  # in KiB, the unit of what the system says


def write_files(root: Path, samples: int, classes: int) -> None:
    """Make empty files, evenly over class folders."""
    for number in range(classes):
        wnid = f'n{number:08}'
        for part, suffix in PARTS.items():
            folder = root / part / wnid
            folder.mkdir(parents=True)
            for i in range(number, samples, classes):
                (folder / f'{wnid}_{i}.{suffix}').touch()


def resident() -> float:
    """Return the MiB of memory that this process has now."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS')) / MIB


def main() -> None:
    """Print seconds and MiB of one start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder; made where it does not exist')
    parser.add_argument('--samples', type=int, default=1_281_167, help='(ImageNet: 1281167)')
    parser.add_argument('--classes', type=int, default=1000, help='class folders (1000)')
    parser.add_argument('--json', type=Path, help='file for the figures')
    args = parser.parse_args()
    if not args.root.exists():
        write_files(args.root, args.samples, args.classes)
    before, start = resident(), time.perf_counter()
    dataset = MultiGranularDataset(str(args.root), pipeline=[])
    found = dict(
        samples=len(dataset),
        seconds=time.perf_counter() - start,
        mib_before=before,
        mib_of_the_data_set=resident() - before,
        mib_at_most=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB - before,
    )
    print(
        f'{found["samples"]:,} samples in {found["seconds"]:.1f} s; the data set takes '
        f'{found["mib_of_the_data_set"]:.0f} MiB, at most {found["mib_at_most"]:.0f} MiB while it '
        f'starts; {before:.0f} MiB were there before, most of it code'
    )
    if args.json:
        write_atomically(
            json.dumps(found | dict(environment=collect()), indent=1).encode(), args.json
        )


if __name__ == '__main__':
    main()
