from stagewright.components.evaluation.evaluate import evaluate
from stagewright.components.evaluation.page import page
from stagewright.components.evaluation.card import write_card
import time, pathlib
def test_x(churn_model, wine_model, diabetes_model):
    import os
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    pathlib.Path("/tmp/ev").mkdir(exist_ok=True)
    for n, m in dict(churn=churn_model, wine=wine_model, diabetes=diabetes_model).items():
        t=time.time(); e=evaluate(m.model, **m.splits, name=n, slice_columns=["contract","tenure","female"] if n=="churn" else []); t1=time.time()
        page(e).write(f"/tmp/ev/{n}.html"); t2=time.time()
        e.write(f"/tmp/ev/{n}.json")
        write_card(f"/tmp/ev/{n}.md", f"/tmp/ev/{n}-card.html", model=m.model, evaluation=f"/tmp/ev/{n}.json", schema=m.schema, name=n, deploy_to="local", intended_use="")
        print(n, t1-t, t2-t1, pathlib.Path(f"/tmp/ev/{n}.html").stat().st_size)
