"""`python -m stagewright.components.serving.predictor`: the old address of `python -m stagewright.components.predictor`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("stagewright.components.predictor", run_name="__main__", alter_sys=True)
