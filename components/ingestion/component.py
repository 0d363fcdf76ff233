"""Components that ingest, validate and split data, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


# No cache: the same address may hold new data tomorrow, and a retraining must not reuse yesterday's.
@component(group="base", cacheable=False)
def ingest_data(
    dataset: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    data: str,
    query: str = "",
    format: str = "auto",  # noqa: A002
    encoding: str = "auto",
    delimiter: str = "auto",
    decimal: str = "auto",
    thousands: str = "auto",
    missing: list = [],  # noqa: B006
    date_format: str = "auto",
    drop: list = [],  # noqa: B006
    on_bad_row: str = "error",
    image_size: str = "",
    image_colours: str = "auto",
    deploy_to: str = "",
    namespace: str = "",
    name: str = "",
    mode: str = "Standard",
) -> None:
    """Read raw data from files, an object store, the web or a database into one table.

    Args:
        dataset: The table as one Parquet file; row order is kept. Its metadata `notes` says how the files were read.
        quarantine: Rows that could not be read, with file, line, reason and text. Empty unless on_bad_row is quarantine.
        data: A file, a glob, a folder (data files, or images in one folder per class), an s3:// object, prefix or glob, an
            http(s) URL, or a SQLAlchemy URL. An archive must contain one data file, or images.
        query: SQL query; required for a SQLAlchemy URL.
        format: File format. Default: inferred from the file extension; gzip, bzip2, xz and zstd files are decompressed.
            One of auto, csv, tsv, jsonl, parquet, npz, excel, images.
        encoding: Encoding of text files. Default: auto detects UTF-8, UTF-16 and Western encodings.
        delimiter: Field delimiter of text files. Default: auto detects comma, tab, semicolon and pipe.
        decimal: Decimal separator of text files, . or ,. Default: auto infers it where the values are unambiguous.
        thousands: Thousands separator of text files: a comma, a point, a blank, an apostrophe, or none. Default: auto infers it
            where the values are unambiguous.
        missing: Texts that mean a missing value in every column, e.g. ["unknown"]. NA, ? and - always mean missing in columns
            of numbers and dates.
        date_format: Date format of text files, e.g. %d.%m.%Y. Default: auto infers it where the values are unambiguous.
        drop: Columns to leave out. They are not checked.
        on_bad_row: error stops at the first row or image that cannot be read; quarantine stores such rows and continues.
        image_size: Resize images to HxW pixels, e.g. 48x64. Default: the most common size.
        image_colours: Color mode of images; auto is grey if every image is grey. One of auto, grey, rgb.
        deploy_to: As the first step of a run: where the model will be served (local, cluster, gitops or none). Permissions and
            services that later steps need are checked before any data is read. Empty: no checks.
        namespace: For deploy_to=cluster: namespace of the service. Default: the namespace of the step.
        name: For deploy_to=cluster or gitops: name of the service; KServe must accept it.
        mode: KServe's deployment mode of the service. One of Standard, Knative.
    """
    from stagewright.components.runtime.step import step

    with step("ingest_data"):
        from stagewright.components.ingestion.ingest import ingest
        from stagewright.components.runtime.access import check_access

        check_access(deploy_to, namespace, name=name, mode=mode)

        done = ingest(
            data, dataset.path, quarantine.path,
            query=query, form=format, encoding=encoding, delimiter=delimiter, decimal=decimal, thousands=thousands,
            missing=missing, date_format=date_format, drop=drop, on_bad_row=on_bad_row,
            image_size=image_size, image_colours=image_colours,
        )  # fmt: skip
        dataset.metadata.update(done.table.metadata() | {"source": done.source} | ({"notes": done.told} if done.notes else {}))
        quarantine.metadata.update(done.quarantine.metadata() | {"source": done.source})


@component(group="base", cacheable=True)
def validate_data(
    dataset: dsl.Input[dsl.Dataset],
    schema: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    target: str,
    task: str = "auto",
    expected: dict = {},  # noqa: B006
    leakage: str = "error",
    suite: dict = {},  # noqa: B006
    positive_class: str = "",
    threshold: float = 0.5,
) -> str:
    """Check a table against its schema (inferred if none is given) and fail the run with a list of violations.

    Args:
        dataset: The table to check.
        schema: The schema in use as JSON: name, kind and expectations of every column, the target and the task.
        report: HTML report: profile of the table, violations and warnings.
        target: Column to predict.
        task: auto, binary, multiclass or regression.
        expected: Schema to enforce, as a JSON object. Columns that it does not name must not exist; omitted fields are not
            checked. Default: an inferred schema.
        leakage: error or warn: what to do about a column that predicts the target almost perfectly.
        suite: Great Expectations suite to check as well, as a JSON object.
        positive_class: Positive class of a binary target. Default: the second class in sorted order. An unknown class is an
            error.
        threshold: Decision threshold: predict the positive class at or above this probability, above 0 and below 1.

    Returns:
        The task: binary, multiclass or regression.
    """
    from stagewright.components.runtime.step import step

    with step("validate_data"):
        from stagewright.components.ingestion.validate import validate

        found = validate(
            dataset.path, schema.path, report.path,
            target=target, task=task, expected=expected, leakage=leakage, suite=suite,
            positive_class=positive_class, threshold=threshold,
            notes=str(dataset.metadata.get("notes", "")).splitlines(),
        )  # fmt: skip
        schema.metadata.update({"target": target, "task": str(found.task), "columns": len(found.columns)})
    return str(found.task)


@component(group="base", cacheable=True)
def split_data(
    dataset: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    train: dsl.Output[dsl.Dataset],
    validation: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    method: str = "stratified",
    fractions: list = [0.7, 0.15, 0.15],  # noqa: B006
    time_column: str = "",
    group_column: str = "",
    seed: int = 0,
) -> None:
    """Split a table into train, validation and test, and verify that no row and no group is in two splits.

    Args:
        dataset: The table to split.
        schema: The table's schema.
        train: Training split.
        validation: Validation split, for early stopping and selection.
        test: Test split, used once.
        method: stratified (every class in every split), random, time or group. A hash of the row, or of its group, decides, so
            a row keeps its split when the table grows.
        fractions: Fractions of train, validation and test; they sum to 1. The split sizes are approximate.
        time_column: Column to sort by if the method is time. The oldest rows become the training split.
        group_column: Column of the groups if the method is group. Each group stays in one split.
        seed: Random seed. Equal seeds give equal splits.
    """
    from stagewright.components.runtime.step import step

    with step("split_data"):
        from stagewright.components.ingestion.split import split
        from stagewright.components.ingestion.withtarget import rows_with_target
        from stagewright.components.runtime.schema import Schema

        known = Schema.read(schema.path)
        outputs = (train, validation, test)
        with rows_with_target(dataset.path, known) as rows:
            done = split(
                rows, known, [output.path for output in outputs],
                method=method, fractions=fractions,
                time_column=time_column or None, group_column=group_column or None, seed=seed,
            )  # fmt: skip
        for number, output in enumerate(outputs):
            output.metadata.update(done.metadata(number, known))
