"""Finds what is missing on a cluster before a run does."""

from stagewright.pipelines.kubeflow.doctor.examine import Place, examine
from stagewright.pipelines.kubeflow.doctor.finding import MISSING, OK, UNKNOWN, Finding

__all__ = ["MISSING", "OK", "UNKNOWN", "Finding", "Place", "examine"]
