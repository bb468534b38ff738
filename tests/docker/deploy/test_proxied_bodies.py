"""Nothing that a controller in foreign hands asks Docker to make gets at the machine."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import ImageNotFound

from tests.docker.deploy.conftest import Proxy, Untyped, assert_refused, encode

ESCAPES: dict[str, dict[str, Any]] = {
    "privileged": {"Privileged": True},
    "privileged, as a number": {"Privileged": 1},
    "host network": {"NetworkMode": "host"},
    "network of another": {"NetworkMode": "container:0123"},
    "host processes": {"PidMode": "host"},
    "processes of another": {"PidMode": "container:0123"},
    "host memory": {"IpcMode": "host"},
    "host name": {"UTSMode": "host"},
    "host users": {"UsernsMode": "host"},
    "host control groups": {"CgroupnsMode": "host"},
    "control group of another": {"Cgroup": "container:0123"},
    "parent control group": {"CgroupParent": "/"},
    "bound folder": {"Binds": ["/:/host"]},
    "bound folder, after a volume": {"Binds": ["a:/a", "/:/host"]},
    "bound folder, after a bracket": {"Binds": ["]", "/:/host"]},
    "mounted folder": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]},
    "mounted folder, key after value": {
        "Mounts": [{"Source": "/", "Target": "/h", "Type": "bind"}]
    },
    "mount of a kind unheard of": {"Mounts": [{"Type": "cluster", "Source": "a", "Target": "/a"}]},
    "folder behind a volume": {
        "Mounts": [
            {
                "Type": "volume",
                "Source": "a",
                "Target": "/a",
                "VolumeOptions": {
                    "DriverConfig": {
                        "Name": "local",
                        "Options": {"type": "none", "o": "bind", "device": "/"},
                    }
                },
            }
        ]
    },
    "volume driver": {"VolumeDriver": "other"},
    "volumes of another": {"VolumesFrom": ["0123"]},
    "device": {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}]},
    "device rule": {"DeviceCgroupRules": ["a *:* rwm"]},
    "capability": {"CapAdd": ["SYS_ADMIN"]},
    "capability, not in a list": {"CapAdd": "SYS_ADMIN"},
    "no seccomp": {"SecurityOpt": ["seccomp=unconfined"]},
    "no seccomp, after a good one": {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
    "no AppArmor": {"SecurityOpt": ["apparmor:unconfined"]},
    "new privileges": {"SecurityOpt": ["no-new-privileges:false"]},
    "unmasked paths": {"MaskedPaths": []},
    "writable kernel": {"ReadonlyPaths": ["/x"]},
    "published port": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
    "all ports": {"PublishAllPorts": True},
    "other runtime": {"Runtime": "/bin/sh"},
    "log driver": {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://a:1"}}},
}


def image_of(host_config: dict[str, Any]) -> dict[str, Any]:
    """A container's body; the image does not exist, so the engine makes nothing of it."""
    return {"Image": "slicerhub-test/no-such-image", "HostConfig": host_config}


@pytest.mark.parametrize("host_config", ESCAPES.values(), ids=ESCAPES.keys())
def test_no_container_without_walls(controller_proxy: Proxy, host_config: dict[str, Any]) -> None:
    """No container that the controller makes gets at the machine or at other containers."""
    body = encode(image_of(host_config))
    assert_refused(controller_proxy.ask("POST", "/v1.41/containers/create?name=x", body))


def test_the_engine_itself_would_take_such_bodies(engine: Untyped) -> None:
    """The bodies of these tests are meant seriously: it is the proxy that refuses them."""
    api = engine.api
    for name in ("privileged", "host network", "bound folder", "device", "capability"):
        with pytest.raises(ImageNotFound):
            api.create_container_from_config(image_of(ESCAPES[name]))


PRIVILEGED = '{"Image": "slicerhub-test/no-such-image", "HostConfig": {%s}}'


DISGUISES = {
    "small letters": '"privileged": true',
    "mixed letters": '"pRIVILEGEd": true',
    "no space": '"Privileged":true',
    "much space": '"Privileged" \t\r\n : \n\n true',
    "after a good one": '"Privileged": false, "Privileged": true',
    "before a good one": '"Privileged": true, "Privileged": false',
    "an escaped letter in the key": '"Privil\\u0065ged": true',
    "an escaped capital": '"\\u0050rivileged": true',
    "an escaped letter in the value": '"NetworkMode": "h\\u006fst"',
    "an escaped quote": '\\u0022Privileged": true',
    "a long s": '"Bind\u017f": ["/:/host"]',
    "a long s, escaped": '"Bind\\u017F": ["/:/host"]',
    "a Kelvin sign": '"Networ\u212aMode": "host"',
    "a Kelvin sign, escaped": '"Networ\\u212AMode": "host"',
    "an escaped slash": '"Binds": ["\\/:/host"]',
    "in a nested object": '"X": {"Privileged": true}',
    "behind many backslashes": '"X": "' + "\\\\" * 20000 + '", "Privil\\u0065ged": true',
    "behind many long letters": '"X": "' + "s" * 50000 + '", "Privileged": true',
    "behind many brackets": '"X": ' + "[" * 20000 + "]" * 20000 + ', "Privileged": true',
    "behind many spaces": " " * 60000 + '"Privileged": true',
    "behind many spaces inside": '"Privileged"' + " " * 60000 + ": true",
    "many times harmless": '"Privileged": false, ' * 2500 + '"Privileged": true',
}


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES.keys())
def test_no_disguise_helps(controller_proxy: Proxy, text: str) -> None:
    """The engine reads keys in any case and letters in any notation; so does the proxy."""
    body = (PRIVILEGED % text).encode()
    assert_refused(controller_proxy.ask("POST", "/containers/create", body))


def test_only_whole_bodies_are_judged(controller_proxy: Proxy) -> None:
    """What the proxy cannot see as a whole, because of its size or manner, does not pass."""
    good = encode(image_of({}))
    assert controller_proxy.ask("POST", "/containers/create", good).status == 404
    assert_refused(controller_proxy.ask("POST", "/containers/create", good, chunked=True))
    assert_refused(controller_proxy.ask("POST", "/containers/create", good + b" " * 100_000))


def test_what_follows_a_zero_byte_does_nothing(controller_proxy: Proxy) -> None:
    """A zero byte ends what the proxy reads; the engine takes nothing behind it either."""
    body = (
        (PRIVILEGED % '"Privileged": false').encode()
        + b"\0"
        + (PRIVILEGED % '"Privileged": true').encode()
    )
    first = controller_proxy.ask("POST", "/containers/create", body)
    inside = b'{"Image": "slicerhub-test/no-such-image", \0"HostConfig": {"Privileged": true}}'
    second = controller_proxy.ask("POST", "/containers/create", inside)
    # 404: only the harmless first object was read. 400 or 500: not JSON to the engine.
    assert first.status in {400, 403, 404, 500}
    assert second.status in {400, 403, 500}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/networks/create", {"Name": "x", "Driver": "macvlan", "Options": {"parent": "eth0"}}),
        ("/networks/create", {"Name": "x", "Driver": "host"}),
        (
            "/networks/create",
            {"Name": "x", "Options": {"com.docker.network.bridge.name": "docker0"}},
        ),
        (
            "/volumes/create",
            {
                "Name": "x",
                "Driver": "local",
                "DriverOpts": {"type": "none", "o": "bind", "device": "/"},
            },
        ),
        ("/volumes/create", {"Name": "x", "Driver": "other"}),
    ],
)
def test_no_way_out_by_networks_or_volumes(
    controller_proxy: Proxy, path: str, body: dict[str, Any]
) -> None:
    """A network is a bridge of its own and a volume a folder of the engine's, nothing else."""
    assert_refused(controller_proxy.ask("POST", path, encode(body)))
