"""A first DAG: three steps that hand data to each other, with nothing to install and no network.

Deploy your own DAGs and this one goes away.
"""

from airflow.sdk import dag, task


@dag(
    dag_id="welcome",
    schedule=None,
    catchup=False,
    tags=["example"],
    doc_md=__doc__,
)
def welcome():
    @task
    def extract() -> list[int]:
        return [3, 1, 4, 1, 5, 9, 2, 6]

    @task
    def transform(numbers: list[int]) -> dict[str, float]:
        return {"count": len(numbers), "mean": sum(numbers) / len(numbers)}

    @task
    def report(summary: dict[str, float]) -> None:
        print(f"{summary['count']} numbers with a mean of {summary['mean']:.2f}")

    report(transform(extract()))


welcome()
