"""Load on `vit serve`: errors by code, p50 and p99, memory at start and end, beside a plain loop.

python scripts/bench_serve.py cifar10 --clients 50 --seconds 60
python scripts/bench_serve.py cifar10 --clients 50 --seconds 60 --slow 5 --output bench_serve.json

Each client sends one picture after the other over a connection that stays open, a JPEG of 640 x 480, and
waits for each answer. Slow clients send a byte of a body each second besides. The plain loop is one Python
process that decodes and predicts the same pictures one at a time, without a server. Clients and server share
this machine.
"""

import argparse
import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BOUNDARY = "bench"
PICTURES = 32


def main() -> None:
    arguments = parsed()
    contents = pictures()
    loop = plain_loop(arguments.model, contents, min(arguments.seconds, 10))
    process, port = started(arguments.model, arguments.words)
    try:
        drive(port, contents, arguments.clients, min(arguments.seconds, 10), slow=0)  # warm
        sizes, done = [memory(process.pid)], threading.Event()
        watch = threading.Thread(target=watch_memory, args=(process.pid, sizes, done))
        watch.start()
        result = drive(port, contents, arguments.clients, arguments.seconds, slow=arguments.slow)
        done.set()
        watch.join()
        sizes.append(memory(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    facts = {
        "model": arguments.model,
        "clients": arguments.clients,
        "slow_clients": arguments.slow,
        "seconds": arguments.seconds,
        "cores": len(os.sched_getaffinity(0)),
        **result,
        "load_average": os.getloadavg()[0],  # of a machine that does nothing else, about its cores
        "memory_mib": sizes,  # every ten seconds
        "plain_loop": loop,
        "exit_code": ended,
    }
    print(json.dumps(facts, indent=2))
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="cifar10")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--slow", type=int, default=0, help="clients that send a byte a second, besides")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--output", help="a JSON file")
    parser.add_argument("words", nargs="*", help="further words of vit serve, after --")
    return parser.parse_args()


def pictures() -> list[bytes]:
    """JPEGs of 640 x 480, smooth noise."""
    chance, contents = np.random.default_rng(0), []
    for _ in range(PICTURES):
        small = Image.fromarray(chance.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    return contents


def plain_loop(model_word: str, contents: list[bytes], seconds: float) -> dict[str, float]:
    """One picture after the other, decoded and predicted in this process."""
    import torch

    import vit

    model, times = vit.load_model(model_word), []
    with torch.inference_mode():
        for index in range(8):
            model(model.preprocess(contents[index])[None])
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            before = time.perf_counter()
            model(model.preprocess(contents[len(times) % PICTURES])[None]).softmax(-1)
            times.append(time.perf_counter() - before)
    return figures(times, time.perf_counter() - began)


def started(model: str, words: list[str]) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "vit.cli", "serve", model, "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.readline()
    if " at http://" not in told:
        sys.exit("the server did not start")
    return process, int(told.rstrip("/\n").rpartition(":")[2])


def drive(port: int, contents: list[bytes], clients: int, seconds: float, *, slow: int) -> dict[str, Any]:
    """Let clients send for a while; rate and times are those of the answers with 200."""
    end = time.perf_counter() + seconds
    counts: list[Counter[str]] = []
    times: list[list[float]] = []
    threads = []
    for number in range(clients):
        counts.append(Counter())
        times.append([])
        work = (port, contents, number, end, counts[-1], times[-1])
        threads.append(threading.Thread(target=client, args=work))
    for _ in range(slow):
        counts.append(Counter())
        threads.append(threading.Thread(target=slow_client, args=(port, end, counts[-1])))
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    return {
        "answers": dict(sum(counts, Counter())),
        **figures([value for each in times for value in each], wall),
    }


def client(
    port: int, contents: list[bytes], number: int, end: float, counts: Counter[str], times: list[float]
) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.perf_counter() < end:
        number += 1
        before = time.perf_counter()
        try:
            connection.request("POST", "/predict", form(contents[number % PICTURES]), kind)
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            counts[type(error).__name__] += 1
            connection.close()
            continue
        counts[str(answer.status)] += 1
        if answer.status == 200:
            times.append(time.perf_counter() - before)
        elif answer.status == 503:
            time.sleep(float(answer.headers["retry-after"]))
    connection.close()


def slow_client(port: int, end: float, counts: Counter[str]) -> None:
    while time.perf_counter() < end:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            lines = ("POST /predict HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 9999", "", "")
            connection.sendall("\r\n".join(lines).encode())
            connection.settimeout(1)
            while time.perf_counter() < end:
                try:
                    connection.sendall(b"x")
                    answer = connection.recv(100)
                except TimeoutError:
                    continue
                except OSError as error:
                    counts[f"slow {type(error).__name__}"] += 1
                    break
                counts[f"slow {answer.split()[1].decode()}" if answer else "slow closed"] += 1
                break


def form(content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def figures(times: list[float], wall: float) -> dict[str, float]:
    percents = statistics.quantiles(times, n=100)
    return {
        "n": len(times),
        "per_second": round(len(times) / wall, 1),
        "p50_ms": round(1000 * percents[49], 1),
        "p99_ms": round(1000 * percents[98], 1),
    }


def watch_memory(pid: int, sizes: list[dict[str, float]], done: threading.Event) -> None:
    while not done.wait(10):
        sizes.append(memory(pid))


def memory(pid: int) -> dict[str, float]:
    """Resident MiB of a process, and of it with the processes below it."""
    parents, sizes = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        parents[int(folder.name)] = int(fields["PPid"])
        sizes[int(folder.name)] = int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {"server": round(sizes[pid], 1), "with_decoders": round(sum(sizes[each] for each in family), 1)}


if __name__ == "__main__":
    main()
