"""Files of System in a bucket of the lab's S3 service, beside rclone where it is there."""
import json
import subprocess

from measuring import Command, Failed
from program import config_of
from results import LIMIT, OURS
from roads.road import Candidate, Road


class Service:
    """The bucket, in the memory of a process that ends when its standard input closes."""

    def __init__(self, program, number, size):
        self.child = subprocess.Popen([program, str(number), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.pid = self.child.pid
        told = self.child.stdout.readline().split()
        if len(told) != 4:
            self.close()
            raise Failed("the lab's S3 service did not start")
        self.endpoint, self.bucket, self.key_id, self.secret = told

    def ask(self, word):
        self.child.stdin.write(word + "\n")
        self.child.stdin.flush()
        said = self.child.stdout.readline().strip()
        if not said:
            raise Failed("the lab's S3 service has ended")
        return said

    def quiet(self):
        """It has no disk."""

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Bucket(Road):
    service = None

    def needs(self):
        number, size = self.sizes.objects
        return number * size * 5

    def prepare(self):
        self.number, self.size = self.sizes.objects
        self.service = Service(self.bench.programs["bucket"], self.number, self.size)
        self.digest = self.service.ask("digest")
        service = self.service
        # The secret is in a file that nobody else reads.
        lines = (f'path = "s3://{service.bucket}"\n[system-storage.s3]\nendpoint = {json.dumps(service.endpoint)}\naccess-key-id = {json.dumps(service.key_id)}\n'
                 f"secret-access-key = {json.dumps(service.secret)}")
        self.program = self.bench.program(self.folder / "ours", config_of("system-storage", lines))
        # The service's ETags are no MD5, which S3 does not promise either.
        self.env = {"RCLONE_IGNORE_CHECKSUM": "true", "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_BENCH_TYPE": "s3", "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
                    "RCLONE_CONFIG_BENCH_ENDPOINT": service.endpoint, "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": service.key_id,
                    "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": service.secret, "RCLONE_S3_NO_CHECK_BUCKET": "true", "RCLONE_S3_LIST_VERSION": "2"}

    def servers(self):
        return [self.service]

    def clean_up(self):
        if self.service:
            self.service.close()

    def measure(self):
        copy = self.folder / "rclone"
        about = f"{self.number} objects of {self.size} bytes, which no compressor makes smaller, in the memory of the service. rclone keeps them as files."

        def rclone(name, *arguments, **more):
            return Candidate(name, lambda: [Command(["rclone", "-q", "--retries", "1", *arguments], env=self.env)], **more)

        def gone():
            subprocess.run(["rm", "-rf", str(copy)], check=True)
        self.compare("first backup", [
            Candidate("threescale-backup backup", lambda: [self.program.backup()], OURS, before=self.program.fresh_repository, left=self.program.size),
            rclone("rclone sync", "sync", f"bench:{self.service.bucket}", copy, before=gone),
            rclone("rclone lsf: the list alone", "lsf", "-R", f"bench:{self.service.bucket}", role=LIMIT)], about)
        self.compare("again, nothing changed", [
            Candidate("threescale-backup backup", lambda: [self.program.backup()], OURS),
            rclone("rclone sync", "sync", f"bench:{self.service.bucket}", copy)])

        def whole(_=None):
            # Until then the run has its mark and what it keeps in the bucket.
            self.program.settle()
            if self.service.ask("digest") != self.digest:
                raise Failed("what is there after the restore is not what was there before")

        def compared(_):
            if self.service.ask("digest") != self.digest:
                raise Failed("what it put there is not what was there before")
        self.compare("restore of all", [
            Candidate("threescale-backup restore", lambda: [self.program.restore()], OURS, before=lambda: self.service.ask("empty"), after=whole),
            rclone("rclone sync", "sync", copy, f"bench:{self.service.bucket}", before=lambda: self.service.ask("empty"), after=compared)])


ROADS = {"bucket": Bucket}
