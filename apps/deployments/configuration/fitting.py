"""A configuration on another cluster than it was made for. Pure."""

from dataclasses import replace

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import Bounds, DeploymentOptions
from apps.deployments.configuration.schema import DEFAULT_QUEUE, Configuration


def fitted(configuration: Configuration, options: DeploymentOptions) -> Configuration:
    """Replace what a cluster does not offer by its defaults: executor, sizes and numbers of
    workers, nodes, settings. An image of people's own stays, and is refused where none run.
    """
    executors = [one.name for one in options.executors]
    executor = configuration.executor if configuration.executor in executors else executors[0]
    offered = {setting.name for setting in options.settings}
    settings = tuple(one for one in configuration.settings if one.name in offered)
    return replace(
        configuration,
        executor=executor,
        queues=_queues(configuration.queues, options) if executor == "celery" else (),
        settings=settings,
    )


def _queues(queues: tuple[WorkerQueue, ...], options: DeploymentOptions) -> tuple[WorkerQueue, ...]:
    if not queues:
        return (options.new_queue(DEFAULT_QUEUE),)
    return tuple(_queue(queue, options) for queue in queues)


def _queue(queue: WorkerQueue, options: DeploymentOptions) -> WorkerQueue:
    if options.size(queue.size) is None:
        usual = options.new_queue(queue.name)
        queue = replace(queue, size=usual.size, concurrency=usual.concurrency)
    size = options.size(queue.size)
    if size is not None:
        queue = replace(queue, concurrency=_within(queue.concurrency, size.concurrency))
    if not options.has_nodes:
        disk_gib = options.disk_gib.default
        queue = replace(queue, node_selector=(), tolerations=(), gpus=0, disk_gib=disk_gib)
    return replace(
        queue,
        min_workers=_within(queue.min_workers, options.min_workers),
        max_workers=_within(queue.max_workers, options.max_workers),
    )


def _within(number: int, bounds: Bounds) -> int:
    return max(bounds.floor, min(number, bounds.ceiling))
