"""The paper's tables as data, and what it takes to fill them: plan, run, report."""
