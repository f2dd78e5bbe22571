"""How the pipeline is run: the command line, the catalogue of stages, parameters and workers."""
