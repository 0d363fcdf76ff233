"""Components of Stagewright: one folder a stage of the machine-learning life cycle."""

import os

# ONNX Runtime's published builds (1.29 and later) send usage data and keep a database in the home folder, unless told not to
# before they are loaded. What runs here is nobody else's business, and the file system may be read-only.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
