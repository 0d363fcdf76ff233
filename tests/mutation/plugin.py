"""For pytest under mutants: random examples are the same each time, and a failure is enough; nobody asks for the least."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutants", derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.load_profile("mutants")
