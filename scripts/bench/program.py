"""The program that is measured, with a configuration, a repository and a state folder of its own."""
import json
import shutil

from measuring import Command, Failed, ask, size_of

STORES = ("system-database", "system-storage", "zync-database", "backend-redis", "system-redis")
PASSWORD = "a password for the benchmark only\n"


def config_of(store, lines):
    """The configuration of an installation that has this store alone."""
    absent = "".join(f"[{name}]\nabsent = true\n" for name in STORES if name != store)
    return f'[installation]\nname = "bench"\n[platform]\nkind = "direct"\n[{store}]\n{lines}\n{absent}'


class Program:
    """One configuration of the program."""

    def __init__(self, path, folder, config):
        """`config` is a text, or a file that lab wrote, with its key beside it."""
        self.path, self.folder = path, folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.repository = folder / "repository"
        if isinstance(config, str):
            self.password_file, config_file = folder / "key", folder / "threescale-backup.toml"
            write_private(self.password_file, PASSWORD)
            write_private(config_file, f"[repository]\nurl = {json.dumps(str(self.repository))}\n"
                                       f"password-file = {json.dumps(str(self.password_file))}\n{config}")
        else:
            self.password_file, config_file = config.parent / "key", config
        self.env = {"THREESCALE_BACKUP_CONFIG": str(config_file), "THREESCALE_BACKUP_STATE_FOLDER": str(folder / "state"),
                    "THREESCALE_BACKUP_REPOSITORY_URL": str(self.repository)}

    def command(self, *arguments):
        return Command([self.path, "--quiet", *arguments], env=self.env)

    def call(self, *arguments):
        """Its document, unmeasured."""
        return document(ask(self.command("--json", *arguments), self.folder))

    def fresh_repository(self):
        shutil.rmtree(self.repository, ignore_errors=True)
        self.call("init")

    def backup(self, *arguments):
        return self.command("--json", "backup", *arguments)

    def restore(self, *arguments):
        return self.command("--json", "restore", "latest", "--partial", "--yes", "--writers-are-stopped", *arguments)

    def settle(self):
        self.call("settle", "--yes")

    def size(self):
        return size_of(self.repository)

    def as_restic(self):
        """What restic wants to know to read the repository."""
        return {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD_FILE": str(self.password_file)}


def document(text):
    try:
        return json.loads(text)
    except ValueError:
        raise Failed(f"threescale-backup printed no document, but {text[:200]!r}") from None


def parts_of(run):
    """What the steps of a restore took, and what others want to know of it, in seconds: its journal's own times."""
    found = {}
    for step in run["steps"]:
        verb = step["action"].split(" ")[0] if not step["action"].startswith("cut over") else "cut over"
        found[verb] = found.get(verb, 0) + (step["duration_ms"] or 0) / 1000
    parts = {name: found[name] for name in ("stage", "prove") if name in found}
    if len(parts) == 2:
        parts["stage + prove"] = parts["stage"] + parts["prove"]
    if run.get("cut_over_ms") is not None:
        parts["cut-over"] = run["cut_over_ms"] / 1000
    return parts


def write_private(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
