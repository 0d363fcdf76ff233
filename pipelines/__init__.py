"""Ready pipelines made of Stagewright's components, and the command line that runs, compiles and submits them."""
