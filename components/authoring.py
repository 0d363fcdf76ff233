"""How a component is declared: the image it runs in, whether its result may be cached, the profile applied to its tasks.

A component is a thin function: typed signature, docstring, one call into its stage's logic inside `with step(...)`. Only its
own source travels to the cluster, so the body imports what it uses, and nothing is installed when it runs.

An artifact that may be missing is declared as `Optional[Input[...]] = None`. Kubeflow's backend names no schema for an artifact
of another step; the executor of kfp then makes an instance of the annotation, and a Union has none. Every kfp up to 2.17.0
needs what is done about it here; a test tells when one no longer does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, Union, get_args, get_origin

from kfp import dsl
from kfp.dsl.pipeline_task import PipelineTask
from kfp.dsl.python_component import PythonComponent
from kfp.dsl.types import type_annotations

from stagewright.components.images import image
from stagewright.components.runtime.frameworks import FRAMEWORKS

Configure = Callable[["Component", PipelineTask], None]
Function = TypeVar("Function", bound=Callable[..., Any])

_configure: ContextVar[Configure | None] = ContextVar("configure", default=None)


class Component(PythonComponent):
    """A KFP component that knows its image's group and whether it may be cached.

    Attributes:
        group: Dependency group whose image it runs in: base, tabular, torch.
        cacheable: Whether equal inputs may reuse an earlier result. Never for effects outside the run.
    """

    def __init__(self, made: PythonComponent, *, group: str, cacheable: bool) -> None:
        super().__init__(component_spec=made.component_spec, python_func=made.python_func)
        self.group, self.cacheable = group, cacheable

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        task = super().__call__(*args, **inputs)
        if isinstance(task, PipelineTask):
            task.set_caching_options(self.cacheable)
            configure = _configure.get()
            if configure is not None:
                configure(self, task)
        return task


def component(*, group: str, cacheable: bool) -> Callable[[Callable[..., Any]], Component]:
    """Declare a component that runs in the image of a dependency group."""

    def declare(function: Callable[..., Any]) -> Component:
        made = dsl.component(documented(function), base_image=image(group), install_kfp_package=False)
        _make_optional_artifacts_work(made, function)
        return Component(made, group=group, cacheable=cacheable)

    return declare


def documented(function: Function) -> Function:
    """The same function; `{frameworks}` in its docstring becomes the names of the frameworks that there are.

    A pipeline is decorated with it below `@dsl.pipeline`; a component is documented by `component` itself.
    """
    function.__doc__ = (function.__doc__ or "").replace("{frameworks}", ", ".join(FRAMEWORKS))
    return function


def optional_artifacts(function: Callable[..., Any]) -> list[str]:
    """Inputs of a component's function that are annotated as `Optional[Input[...]]`."""
    return [name for name, annotation in function.__annotations__.items() if _is_optional_artifact(annotation)]


def _is_optional_artifact(annotation: Any) -> bool:
    if get_origin(annotation) is not Union or type(None) not in get_args(annotation):
        return False
    return any(type_annotations.is_artifact_wrapped_in_Input(part) for part in get_args(annotation))


def _make_optional_artifacts_work(made: PythonComponent, function: Callable[..., Any]) -> None:
    """Let the source that travels take the Optional off its annotations, so that the executor finds the artifact's class."""
    names = optional_artifacts(function)
    if names:
        annotations = f"{function.__name__}.__annotations__"
        lines = (f"{annotations}[{name!r}] = {annotations}[{name!r}].__args__[0]\n" for name in names)
        made.component_spec.implementation.container.command[-1] += "".join(lines)


@contextmanager
def configured(configure: Configure) -> Iterator[None]:
    """Call `configure(component, task)` for every task that is made inside the block: how a profile reaches a pipeline."""
    token = _configure.set(configure)
    try:
        yield
    finally:
        _configure.reset(token)
