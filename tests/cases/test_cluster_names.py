"""Cases about what a cluster makes of names, and of YAML."""

from support.cases import Cases

from stagewright.pipelines import catalog


def test_the_kfp_sdk_finds_every_pipelines_own_inputs(cases: Cases) -> None:
    lines = cases.run("kfp-sdk-loads-train-model").splitlines()
    found = {line.split()[0]: int(line.split()[1]) for line in lines}
    assert found == {f"out/{name}.yaml": len(catalog.pipeline(name).component_spec.inputs) for name in catalog.PIPELINES}


def test_names_that_look_like_numbers_stay_text(cases: Cases) -> None:
    lines = [line.strip() for line in cases.run("compile-namespace-number").splitlines()]
    assert lines == ['namespace: "1e3"', 'namespace: "0o7"', 'namespace: "12e1"']


def test_a_host_that_is_no_dns_label_is_refused(cases: Cases) -> None:
    first, one, second, two = cases.run("kserve-name-and-namespace").splitlines()
    assert (one, two) == ("rc=2", "rc=2")
    host = f"{'m' * 40}-predictor-{'n' * 30}"
    assert first.endswith(f"KServe makes the host {host} of them, which has 81 characters, and a DNS label has at most 63")
    assert "churn-of-customers-in-europe-canary-predictor-data-science-team-production" in second
