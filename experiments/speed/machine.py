"""What the benchmark ran on."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Model of the processor and number of cores, as the system tells them."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model} ({platform.machine()}), {os.cpu_count()} cores"
