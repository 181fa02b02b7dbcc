"""What one core and the disk do at most: what every road is held against."""
import re

from measuring import Command, Failed, ask, run


def speeds(folder):
    """Names and texts. What is not there is told, and is no number."""
    found = {}
    for name, measure in (("SHA-256", lambda: by_openssl(folder, "sha256")), ("AES-256-CTR", lambda: by_openssl(folder, "aes-256-ctr")),
                          ("zstd -3", lambda: by_zstd(folder)), ("writing to the disk", lambda: by_dd(folder))):
        try:
            found[name] = f"{measure():.0f} MB/s"
        except Failed as failed:
            found[name] = f"not measured: {failed}"
    return found


def by_openssl(folder, what):
    said = ask(Command(["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1048576", "-evp", what]), folder)
    found = re.search(r"^\+F:.*:([0-9.]+)$", said, re.M)
    if not found:
        raise Failed("openssl said no speed")
    return float(found[1]) / 1e6


def by_zstd(folder):
    """Of text such as rows are, not of zeros, and not of what no compressor makes smaller."""
    sample = folder / "sample"
    with open(sample, "w") as file:
        for number in range(200_000):
            file.write(f"{number}\t{number * 7919 % 99991}\tuser-{number * 31 % 5003}@example.com\t2026-01-{number % 28 + 1:02} 10:{number % 60:02}:00\tlive\n")
    try:
        bytes_ = sample.stat().st_size
        turn = run([Command(["zstd", "-3", "-q", "-T1", "-c", sample], out="/dev/null")], folder).turn
        return bytes_ / max(turn.client, 0.01) / 1e6
    finally:
        sample.unlink()


def by_dd(folder):
    file = folder / "written"
    try:
        turn = run([Command(["dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=256", "conv=fsync", "status=none"])], folder).turn
        return (256 << 20) / turn.seconds / 1e6
    finally:
        file.unlink(missing_ok=True)
