"""Prompts of a model whose layers are spread over rpc-servers, one a GPU, on this machine: stock ones and ones with our
proxies, with and without a plan, side by side in one llama-bench. There ours is switched off; with --short-masks it makes
devices in front of its servers' (TRIANGLEMIX_RPC), which send masks in few bytes.
"""
import contextlib
import pathlib

OFF = {"TRIANGLEMIX_DISABLE": "1"}


def endpoints(servers):
    return ",".join(server.endpoint for server in servers)


def prefill(run, lengths, repeat, ubatches, bench):
    """(way, what llama-bench said) pairs. `bench`: gpu_bench.llama_bench."""
    from hostkit.rpc import RpcServer

    options = run.options
    ways = {"stock": OFF, "exact": {}, "triangle": {"TRIANGLEMIX_LAYERS": options.layers}}
    servers = {}
    with contextlib.ExitStack() as running:
        for way, env in ways.items():
            devices = (options.device if way == "stock" else options.proxy).split(",")
            servers[way] = [running.enter_context(RpcServer(["-d", device], env=run.environment(**env),
                                                            folder=pathlib.Path(options.llama))) for device in devices]
        every = [server for some in servers.values() for server in some]
        ours = [server for server in every if server not in servers["stock"]] if options.short_masks else []
        env = {"TRIANGLEMIX_RPC": endpoints(ours)} if ours else OFF
        theirs = [server for server in every if server not in ours]
        # llama.cpp numbers all that it is told, the backend's first.
        names = {server: f"RPC{len(ours) + i}" for i, server in enumerate(theirs)}
        names |= {server: f"TriangleMixRPC{i}" for i, server in enumerate(ours)}
        devices = {way: "/".join(names[server] for server in some) for way, some in servers.items()}
        measured = bench(run, ",".join(devices.values()), lengths, 0, repeat, ubatches=ubatches, first=["--rpc", endpoints(theirs)],
                         **env)
        if ours:
            sent = run.shown["gpu"]["short_masks"] if run.shown else 0
            run.check(sent > 0, f"{sent} masks went to the rpc-servers in few bytes")
        for way, kind in (("exact", "dense"), ("triangle", "triangle")):
            shown = [server.statistics() for server in servers[way]]
            # A layer of the plan may lie on a server that does not see which rows are output rows (docs/rpc.md).
            other = {reason for each in shown if each for reason in each["fallbacks"]} - {"output_rows"}
            run.check(all(shown) and sum(each["nodes"][kind] for each in shown) > 0 and not other,
                      f"{way}: the rpc-servers computed {kind} layers as they were asked for{': ' * bool(other)}{', '.join(other)}")
    of = {name: way for way, name in devices.items()}
    return [(of[result["devices"]], result | {"devices": f"rpc-servers, {len(servers['stock'])} GPUs"}) for result in measured]
