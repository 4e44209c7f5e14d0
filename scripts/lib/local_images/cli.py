"""The command line of scripts/images; it must never load an image into a cluster that scripts/cluster did not make."""

import argparse
import fcntl
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local_cluster import places
from local_cluster.choice import current_engine
from local_cluster.console import paint, progress, say
from local_cluster.errors import ClusterError
from local_cluster.kubectl import kubectl
from local_images.builders import Builder, BuildFacts, choose_builder
from local_images.catalogue import EMULATORS, IMAGES, OPERATOR, POSTGRES, STEP_IMAGES, Image, tag_of, take_snapshot
from local_images.host_settings import find_ca_bundle, pip_configuration

_OUTPUT = places.REPOSITORY / ".build"
_DESCRIPTION = """\
Builds the product's nine images and loads them into the cluster of scripts/cluster, without any registry. An image's
tag is the hash of all that made it, so what did not change is neither built nor loaded again.
"""
_EPILOG = """\
examples:
  scripts/images                                   build what changed and load it (without a cluster: only build)
  scripts/images build videotask-operator          one image
  scripts/images list
  scripts/images build --ca-bundle company.pem     behind a proxy with certificates of its own
  helm install videotask charts/videotask-operator -f .build/values-images.yaml

written: .build/images.json (references, digests, sizes) and .build/values-images.yaml (the same for Helm).
The CA bundle and pip's settings of this machine serve the build alone; no image keeps them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        places.CACHE.mkdir(parents=True, exist_ok=True)
        with (places.CACHE / "images.lock").open("w") as lock:
            _wait_for(lock.fileno())
            return _run(options)
    except ClusterError as failure:
        say(f"{paint('scripts/images:', 'red')} {failure}")
        return failure.exit_code
    except OSError as failure:  # a folder that cannot be made or written
        say(f"{paint('scripts/images:', 'red')} {failure} (VIDEOTASK_CACHE names another folder to work in)")
        return 1
    except KeyboardInterrupt:
        say("scripts/images: interrupted; say it again to go on where it stopped")
        return 130


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/images", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style)
    commands = ["all", "build", "load", "list", "prune"]
    parser.add_argument("command", nargs="?", default="all", choices=commands, metavar="COMMAND", help=_COMMANDS_HELP)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="only these (default: all nine)")
    parser.add_argument("--base-image", help="build on this image (default: the public one, or one that is made here)")
    parser.add_argument("--ca-bundle", help="CA certificates for the build (default: the one PIP_CERT, ... name)")
    return parser


_COMMANDS_HELP = (
    "all (default): build, then load where a cluster is up; build; load: into the cluster, what it lacks; "
    "list: names, sizes and whether built and loaded; prune: forget images that no file makes and no pod uses any more"
)


def _wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another scripts/images is at work; waiting for it ...")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _run(options: argparse.Namespace) -> int:
    builder = choose_builder()
    base = options.base_image or builder.default_base()
    images = _chosen(options.images)
    with tempfile.TemporaryDirectory(prefix="videotask-images-") as scratch:
        context = Path(scratch)
        take_snapshot(places.REPOSITORY, context)
        if options.command == "list":
            _list(builder, images, base, context)
            return 0
        references = {image: _reference(image, base, context) for image in images}
        if options.command in ("all", "build"):
            _build(builder, references, base, context, options.ca_bundle)
        if options.command in ("all", "load"):
            _load(builder, references, must=options.command == "load")
        if options.command == "prune":
            _prune(builder, references)
        elif not options.images:
            _write(builder, references)
    return 0


def _chosen(names: list[str]) -> list[Image]:
    known = {image.name: image for image in IMAGES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ClusterError(f"there is no image {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(IMAGES)


def _build(builder: Builder, references: dict[Image, str], base: str, context: Path, ca_bundle: str | None) -> None:
    built = builder.references()
    missing = {image: reference for image, reference in references.items() if reference not in built}
    if not missing:
        say(f"All {len(references)} images are built.")
        return
    builder.prepare(base)
    with tempfile.TemporaryDirectory(prefix="videotask-build-") as scratch:
        secrets = _secrets(Path(scratch), ca_bundle)
        facts = BuildFacts(base=base, context=context, version=_version(), secrets=secrets)
        for image, reference in missing.items():
            with progress(f"Building {reference.removeprefix('localhost/')}", expected="half a minute"):
                builder.build(image, reference, facts)


def _secrets(scratch: Path, ca_bundle: str | None) -> dict[str, Path]:
    pip_conf = scratch / "pip.conf"
    pip_conf.write_text(pip_configuration())
    secrets = {"pip.conf": pip_conf}
    bundle = find_ca_bundle(ca_bundle)
    if bundle:
        secrets["ca.pem"] = bundle
    return secrets


def _version() -> str:
    contract = places.REPOSITORY / "operator" / "src" / "videotask_contract" / "__init__.py"
    match = re.search(r'^VERSION = "(.+)"$', contract.read_text(), re.MULTILINE)
    if match is None:
        raise ClusterError(f"{contract} names no VERSION")
    return match[1]


def _load(builder: Builder, references: dict[Image, str], *, must: bool) -> None:
    engine = current_engine()
    if engine is None or engine.status().state != "up":
        if must:
            raise ClusterError("there is no cluster to load into; `scripts/cluster up` brings one up")
        say("No cluster is up, so nothing was loaded; `scripts/images load` does it later.")
        return
    there = engine.image_tags()
    missing = [reference for reference in references.values() if reference not in there]
    if not missing:
        say(f"The cluster has all {len(references)} images.")
        return
    unbuilt = [reference for reference in missing if reference not in builder.references()]
    if unbuilt:
        raise ClusterError(f"not built yet: {', '.join(unbuilt)}; `scripts/images build` does it")
    with progress(f"Loading {len(missing)} images into the cluster"):
        builder.load(missing, engine)


def _reference(image: Image, base: str, context: Path) -> str:
    return f"localhost/{image.name}:{tag_of(image, base, context)}"


def _list(builder: Builder, images: list[Image], base: str, context: Path) -> None:
    engine = current_engine()
    loaded = engine.image_tags() if engine and engine.status().state == "up" else set()
    print(f"{'IMAGE':<56}{'BUILT':<7}{'LOADED':<8}SIZE")
    references = []
    for image in images:
        try:
            references.append(_reference(image, base, context))
        except ClusterError as failure:
            say(str(failure))
    built = builder.facts(references)
    for reference in references:
        size = f"{built[reference]['size_bytes'] / 1e6:.0f} MB" if reference in built else "-"
        states = ["yes" if state else "no" for state in (reference in built, reference in loaded)]
        print(f"{reference:<56}{states[0]:<7}{states[1]:<8}{size}")


def _prune(builder: Builder, references: dict[Image, str]) -> None:
    current = set(references.values())
    old = _old_among(builder.references(), current)
    for reference in old:
        builder.remove(reference)
    say(f"Removed {len(old)} built images.")
    engine = current_engine()
    if engine and engine.status().state == "up":
        loaded = _old_among(engine.image_tags(), current | _images_in_use())
        if loaded:
            engine.remove_images(loaded)
        say(f"Removed {len(loaded)} images from the cluster; what is in use there was left.")


def _old_among(names: set[str], kept: set[str]) -> list[str]:
    ours = tuple(f"localhost/{image.name}:" for image in IMAGES)
    return sorted(name for name in names if name.startswith(ours) and name not in kept)


def _images_in_use() -> set[str]:
    """Return the images that a pod runs or that an operator's settings name for pods to come."""
    objects = kubectl("get", "pods,configmaps", "--all-namespaces", "-o", "json", timeout_seconds=60)
    return set(re.findall(r"localhost/videotask-[a-z-]+:[0-9a-f]+", objects))


def _write(builder: Builder, references: dict[Image, str]) -> None:
    _OUTPUT.mkdir(exist_ok=True)
    known = builder.facts(list(references.values()))
    facts = {
        image.name: {"reference": reference, **known.get(reference, {})} for image, reference in references.items()
    }
    (_OUTPUT / "images.json").write_text(json.dumps(facts, indent=2) + "\n")
    values = _OUTPUT / "values-images.yaml"
    values.write_text(_values(references))
    print(values)


def _values(references: dict[Image, str]) -> str:
    lines = ["# Written by scripts/images: helm ... -f .build/values-images.yaml", "images:"]
    lines += [f"  {key}: {references[image]}" for key, image in _SINGLE_IMAGES]
    lines += ["  steps:", *(f"    {step}: {references[image]}" for step, image in STEP_IMAGES.items())]
    return "\n".join(lines) + "\n"


_SINGLE_IMAGES = (("operator", OPERATOR), ("emulators", EMULATORS), ("postgres", POSTGRES))
