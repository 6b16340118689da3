from benchmarks.counters import ModelCounters, difference, parse_counters

METRICS = """\
# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="denoiser",version="1"} 24
nv_inference_exec_count{model="denoiser",version="1"} 8
nv_inference_request_success{model="denoiser",version="1"} 12
nv_inference_queue_duration_us{model="denoiser",version="1"} 6000
nv_inference_compute_infer_duration_us{model="denoiser",version="1"} 36000
nv_inference_count{model="vae_decoder",version="1"} 2
nv_inference_exec_count{model="vae_decoder",version="1"} 1
nv_cpu_utilization 0.5
"""


def test_counters_are_read_by_model() -> None:
    assert parse_counters(METRICS)["denoiser"] == ModelCounters(12, 24, 8, 6000, 36000)


def test_the_mean_batch_is_rows_by_executions() -> None:
    assert parse_counters(METRICS)["denoiser"].mean_batch == 3
    assert ModelCounters().mean_batch is None


def test_only_what_was_counted_in_between_is_left() -> None:
    earlier = parse_counters(METRICS.replace("} 24", "} 20").replace("} 8\n", "} 7\n"))
    gone = difference(parse_counters(METRICS), earlier)
    assert gone == {"denoiser": ModelCounters(rows=4, executions=1)}
