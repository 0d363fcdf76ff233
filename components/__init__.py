"""Components of Stagewright: one folder a stage of the machine-learning life cycle."""
