"""Checks a cluster for everything that runs need."""

from stagewright.pipelines.kubeflow.doctor.examine import Place, examine
from stagewright.pipelines.kubeflow.doctor.finding import MISSING, OK, UNKNOWN, Finding

__all__ = ["MISSING", "OK", "UNKNOWN", "Finding", "Place", "examine"]
