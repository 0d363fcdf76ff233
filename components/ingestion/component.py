"""Ingestion as Kubeflow sees it: read raw data, check it, split it."""

from kfp import dsl

from stagewright.components.authoring import component


# Never from the cache: the same address may hold other data tomorrow, and a retraining would learn from yesterday's.
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
        dataset: The table: one Parquet file, rows in their order. Its metadata `notes` says how the files were understood.
        quarantine: Rows that could not be read, with file, line, reason and text; empty unless on_bad_row is quarantine.
        data: A file, a glob, a folder (of data files, or of pictures in folders named after their classes), an s3:// object,
            prefix or glob, an http(s) URL, or a SQLAlchemy URL. An archive holds one data file, or pictures.
        query: What to ask the database when data is a SQLAlchemy URL.
        format: Format of the files; auto goes by their ending, compressed by gzip, bzip2, xz or zstd, or not. One of auto, csv,
            tsv, jsonl, parquet, npz, excel, images.
        encoding: Encoding of text files; auto detects UTF-8, UTF-16 and Western encodings.
        delimiter: What separates fields of text files; auto detects comma, tab, semicolon and pipe.
        decimal: Decimal sign of text files, . or ,; auto tells it from the values where they leave no doubt.
        thousands: Sign between thousands in text files: a comma, a point, a blank or an apostrophe, or none; auto tells it from
            the values where they leave no doubt.
        missing: Texts that mean a missing value in every column, such as ["unknown"]; among numbers and dates those such as
            NA, ? and - do so anyway.
        date_format: How text files write dates, such as %d.%m.%Y; auto tells it from the values where they leave no doubt.
        drop: Columns to leave out; nothing checks them.
        on_bad_row: error stops at the first row or picture that cannot be read; quarantine sets such rows aside and goes on.
        image_size: Height and width in pixels that pictures are brought to, such as 32 or 48x64; empty for the commonest size.
        image_colours: Colours of pictures; auto is grey if all of them are. One of auto, grey, rgb.
        deploy_to: As the first step of a run: where its model will be served (local, cluster, gitops or none). Rights and
            services that the last steps need are checked before anything is read; empty checks nothing.
        namespace: For deploy_to=cluster: the namespace of the service; empty for the one that the step runs in.
        name: For deploy_to=cluster or gitops: the name of the service, which KServe must be able to use there.
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
    """Check a table against its schema, inferred when none is given, and stop the run with the list of what is wrong.

    Args:
        dataset: The table to check.
        schema: The schema that holds: every column's name, kind and expectations, the target and the task, as JSON.
        report: What the table looks like and what is wrong with it.
        target: Column to predict.
        task: auto, binary, multiclass or regression.
        expected: A schema to enforce, as a JSON object; columns that it does not name must not exist, fields that it leaves out
            are not checked. Empty to infer one.
        leakage: error or warn: what a column that predicts the target almost perfectly means.
        suite: A Great Expectations suite, as a JSON object, to check as well.
        positive_class: The class that a model of two classes is to be about; empty: the second in sorted order. A class that is
            not there is refused.
        threshold: Probability of the positive class from which it is to be answered, above 0 and below 1.

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
    """Split a table into train, validation and test, and prove that no row and no group is in two of them.

    Args:
        dataset: The table to split.
        schema: The table's schema.
        train: Rows to fit on.
        validation: Rows to choose and stop by.
        test: Rows to judge by, once.
        method: stratified (every class in every split), random, time or group. A row's own content, or its group, decides, so
            that it keeps its split when the table grows.
        fractions: Shares of train, validation and test; they sum to 1, and the splits come near to them.
        time_column: Column to sort by when the method is time; the oldest rows train.
        group_column: Column whose equal values stay together when the method is group.
        seed: Equal seeds give equal splits; another one divides the rows anew.
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
