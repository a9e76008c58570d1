"""What the system is told about the service, as texts: unit, user, device rules.

Pure functions: the installer writes their results, the packages carry them, the tests boot them.
Sources: systemd.exec(5), systemd.service(5), systemd.resource-control(5), sysusers.d(5), udev(7).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
import re
import shlex
from typing import TYPE_CHECKING

from companion_agent.platforms.linux import cpufreq, smart_helper

if TYPE_CHECKING:
    from collections.abc import Mapping

USER = "pilot-agent"
SERVICE = "pilot-agent.service"
SESSION_SERVICE = "pilot-agent-session.service"
PROCESSOR_SOCKET = "pilot-agent-processor.socket"
PROCESSOR_SERVICE = "pilot-agent-processor.service"
SMART_TIMER = "pilot-agent-smart.timer"
SMART_SERVICE = "pilot-agent-smart.service"
AUTOSTART = "pilot-agent-session.desktop"
CONFIG_FOLDER = PurePosixPath("/etc/pilot-agent")
STATE_FOLDER = PurePosixPath("/var/lib/pilot-agent")

# The first systemd that keeps what a container has mounted below /proc.
FIRST_SHARED_PROC = 257

# How the agent ends when its configuration is wrong: starting it again changes nothing.
BAD_CONFIGURATION = 2

ENVIRONMENT: Mapping[str, str] = {"MALLOC_ARENA_MAX": "1"}
"""What the service has in its environment, above systemd's own."""

# How a session helper ends where another one serves the session: `session_helper.runtime`.
ANOTHER_RUNS = 3

_HOMES = PurePosixPath("/home")


@dataclass(frozen=True, slots=True)
class Helper:
    """What root runs for the agent.

    Attributes:
        python: Python.
        folder: Where the modules are that are programs too: `platforms/linux`.
    """

    python: PurePosixPath
    folder: PurePosixPath

    def command(self, module: str, *arguments: str) -> str:
        """Return a line of a unit: isolated, and without the packages of any environment."""
        program = _escape(str(self.folder / f"{module}.py"))
        return " ".join((_escape(str(self.python)), "-I", "-S", program, *arguments))


@dataclass(frozen=True, slots=True)
class Program:
    """The agent as it is installed.

    Attributes:
        path: What is started.
        folders: Folders that it needs and that lie in a user's home.
        helper: What root runs of it; `None` where others than root could change that.
    """

    path: PurePosixPath
    folders: tuple[PurePosixPath, ...] = ()
    helper: Helper | None = None

    @property
    def home(self) -> PurePosixPath | None:
        """The home that it is installed in; `None` when it is the system's."""
        for path in (self.path, *self.folders):
            if path.is_relative_to("/root"):
                return PurePosixPath("/root")
            if path.is_relative_to(_HOMES) and len(path.parts) > 3:
                return _HOMES / path.parts[2]
        return None


def unit(program: Program, *, i2c: bool = True) -> str:
    """Write the unit of the service.

    Args:
        program: The agent.
        i2c: Whether it reads sensors on I²C buses.
    """
    return _UNIT.format(
        program=_escape(str(program.path)),
        environment=" ".join(f"{name}={value}" for name, value in ENVIRONMENT.items()),
        user=USER,
        bad_configuration=BAD_CONFIGURATION,
        home=_home(program),
        devices=_DEVICES + (_I2C if i2c else ""),
    )


def session_unit(program: Program) -> str:
    """Write the unit of the session helper, which every user's service manager runs."""
    return f"""\
# Written by pilot-agent. Changes belong into a drop-in: systemctl --user edit {SESSION_SERVICE}
[Unit]
Description=Pilot session helper, shows this desktop to the agent
Documentation=https://github.com/pilot-home/pilot
PartOf=graphical-session.target
After=graphical-session.target
StartLimitIntervalSec=1min
StartLimitBurst=20

[Service]
ExecStart={_escape(str(program.path))} session
Restart=always
RestartSec=1
# Another helper of this session runs.
RestartPreventExitStatus={ANOTHER_RUNS}
UMask=0077
MemoryMax=128M
TasksMax=32
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=graphical-session.target
"""


def autostart(program: Program) -> str:
    """Write what starts the session helper on desktops that no service manager runs.

    Sources: the Desktop Application Autostart Specification; the Desktop Entry Specification on how
    `Exec` is quoted; systemd-xdg-autostart-generator(8).
    """
    # Quoted three times: for the shell, as an argument of `Exec`, and as a text of the entry.
    script = f"until {shlex.quote(str(program.path))} session || [ $? -eq {ANOTHER_RUNS} ]"
    script = re.sub(r'([\\"`$])', r"\\\1", f"{script}; do sleep 1; done")
    escaped = script.replace("\\", "\\\\").replace("%", "%%")
    return f"""\
[Desktop Entry]
Type=Application
Name=Pilot session helper
Comment=Shows this desktop to the Pilot agent
Exec=sh -c "{escaped}"
NoDisplay=true
Terminal=false
# systemd's user manager has the service pilot-agent-session.
X-systemd-skip=true
X-GNOME-HiddenUnderSystemd=true
"""


def processor_socket(helper: Helper) -> str:
    """Write the unit of the socket on which the agent asks root to set the processor.

    It is there while the agent is, and puts back what was found when the agent has ended, however
    it did: at once, or when the agent starts again after a crash.
    """
    return f"""\
# Written by pilot-agent. Changes belong into a drop-in: systemctl edit {PROCESSOR_SOCKET}
[Unit]
Description=Pilot agent, sets the processor: socket
Documentation=https://github.com/pilot-home/pilot
# With the agent it stops and starts anew; when the agent has ended by itself nothing needs it any
# more. BindsTo= would count each start of the agent twice, and give it up after three failures.
PartOf={SERVICE}
StopWhenUnneeded=yes
Before={SERVICE}
# It is started as often as the agent, which has a limit of its own.
StartLimitIntervalSec=0

[Socket]
ListenStream=/{cpufreq.SOCKET}
SocketUser=root
SocketGroup={USER}
SocketMode=0660
RemoveOnStop=yes
Backlog=16
ExecStopPost=-{helper.command("cpufreq", "restore")}
ReadWritePaths=-/{cpufreq.STATE_FOLDER}
{_AS_ROOT}
[Install]
WantedBy={SERVICE}
"""


def processor_service(helper: Helper) -> str:
    """Write the unit of what sets the processor, started by the socket for a while."""
    return f"""\
# Written by pilot-agent. Changes belong into a drop-in: systemctl edit {PROCESSOR_SERVICE}
[Unit]
Description=Pilot agent, sets the processor
Documentation=https://github.com/pilot-home/pilot
PartOf={PROCESSOR_SOCKET}
# The socket's own TriggerLimitBurst= counts.
StartLimitIntervalSec=0

[Service]
ExecStart={helper.command("cpufreq", "serve")}
# What was found first. It stays when this ends, until it was put back.
RuntimeDirectory={PurePosixPath(cpufreq.STATE_FOLDER).name}
RuntimeDirectoryPreserve=yes
PrivateNetwork=yes
IPAddressDeny=any
{_AS_ROOT}"""


def smart_timer() -> str:
    """Write the unit that has the disks asked now and then, while the agent is there."""
    return f"""\
# Written by pilot-agent. Changes belong into a drop-in: systemctl edit {SMART_TIMER}
[Unit]
Description=Pilot agent, asks the disks how they are: timer
Documentation=https://github.com/pilot-home/pilot
# It needs no more: of an agent that ended by itself nothing is left that says which disks are
# asked. BindsTo= would count each start of the agent twice, and give it up after three failures.
PartOf={SERVICE}
After={SERVICE}
# The disks of a container are those of the machine around it.
ConditionVirtualization=!container

[Timer]
# By then the agent has said which disks it wants.
OnActiveSec=1min
OnUnitActiveSec={smart_helper.PERIOD // 60}min
AccuracySec=1min

[Install]
WantedBy={SERVICE}
"""


def smart_service(helper: Helper) -> str:
    """Write the unit of what asks the disks, started by the timer."""
    return f"""\
# Written by pilot-agent. Changes belong into a drop-in: systemctl edit {SMART_SERVICE}
[Unit]
Description=Pilot agent, asks the disks how they are
Documentation=https://github.com/pilot-home/pilot
# The agent wants to know of none where there is none, and none without smartctl.
ConditionPathExists=/{smart_helper.WANTED}

[Service]
Type=oneshot
ExecStart={helper.command("smart_helper")}
TimeoutStartSec=10min
StateDirectory={PurePosixPath(smart_helper.FOLDER).name}
StateDirectoryMode=0755
Nice=10
IOSchedulingClass=idle
PrivateNetwork=yes
IPAddressDeny=any
# Commands to SATA, SAS and USB disks take the first, those to NVMe the second; no less does.
CapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN
ProtectSystem=strict
# Disks, and no other device.
DevicePolicy=closed
DeviceAllow=block-sd rw
DeviceAllow=block-blkext rw
# One smartctl may be left behind for each disk that does not answer.
TasksMax={smart_helper.MOST_DISKS + _TASKS}
{_CONFINED}"""


# As many as one program and what it starts need.
_TASKS = 4

# What holds for everything that root runs here.
_CONFINED = """\
MemoryMax=64M
UMask=0022
NoNewPrivileges=yes
AmbientCapabilities=
RestrictSUIDSGID=yes
KeyringMode=private
ProtectHome=yes
PrivateTmp=yes
ProtectProc=invisible
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""

# Root owns the files in sysfs, and that is all it takes to write them: no capability does.
_AS_ROOT = f"""\
CapabilityBoundingSet=
# The settings of the processor, Intel's switch of the boost among them, and nothing else.
ProtectSystem=strict
ReadWritePaths=-/{cpufreq.FOLDER} -/{cpufreq.INTEL_FOLDER}
PrivateDevices=yes
DevicePolicy=closed
ProcSubset=pid
TasksMax={_TASKS}
{_CONFINED}"""


def _home(program: Program) -> str:
    home = program.home
    if home is None:
        return "ProtectHome=read-only\n"
    # Nothing of that home can be seen but the program itself. ProtectHome= would put the home back,
    # and adds nothing: ProtectSystem=strict makes the others read-only as well.
    folders = "\n".join(f"BindReadOnlyPaths={_escape(str(folder))}" for folder in program.folders)
    return f"TemporaryFileSystem={_escape(str(home))}:ro,mode=0755\n{folders}\n"


def _escape(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
    return f'"{escaped}"' if any(sign in path for sign in " \t'\"\\") else escaped


_UNIT = """\
# Written by pilot-agent. Changes belong into a drop-in: systemctl edit pilot-agent
[Unit]
Description=Pilot agent, reports this computer to Home Assistant
Documentation=https://github.com/pilot-home/pilot
# It waits for the network and the broker itself, and says meanwhile that it does.
After=network.target dbus.socket
# After six failures within ten minutes it stays down and says why.
StartLimitIntervalSec=10min
StartLimitBurst=6

[Service]
Type=notify
ExecStart={program} run
ExecReload={program} reload
User={user}
Group={user}
StateDirectory=pilot-agent
StateDirectoryMode=0700
# Session helpers of every user connect in there, and are admitted by who they are.
RuntimeDirectory=pilot-agent
RuntimeDirectoryMode=0755
UMask=0077

Restart=on-failure
RestartSec=10
# A configuration with mistakes does not get better by trying again.
RestartPreventExitStatus={bad_configuration}
WatchdogSec=90
TimeoutStartSec=60
TimeoutStopSec=15

# One memory arena for all threads (mallopt(3)): a second one costs 0.3 MiB, and the threads of
# the agent do not contend for it.
Environment={environment}
MemoryHigh=192M
MemoryMax=256M
TasksMax=64
LimitNOFILE=1024

# Its own user is all that it is. Others' numbers stay visible, since session helpers are admitted
# by theirs (no PrivateUsers=).
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=yes
KeyringMode=private
RemoveIPC=yes

# It writes to its state folder and nowhere else. Homes stay visible, since one of them may be
# a disk of its own, whose space is reported.
ProtectSystem=strict
PrivateTmp=yes
{home}
{devices}
# It reads what every process may read (/proc/stat, /sys/class), and changes none of it. The
# host's name stays visible too, since a new one is announced (no ProtectHostname=).
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
# Others' processes stay visible: they are counted (no ProtectProc=).
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes

# The broker, D-Bus and the journal, and the kernel's news of networks and Wi-Fi.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def own_proc_drop_in() -> str:
    """Write what lets the service see the /proc of the container that it runs in."""
    return f"""\
# Written by pilot-agent. systemd before {FIRST_SHARED_PROC} mounts a fresh /proc for these two, in
# which the memory and the processors are those of the machine around this container (lxcfs).
[Service]
ProtectKernelTunables=no
ProtectControlGroups=no
"""


_DEVICES = """\
# The screen of the console, for the group that it belongs to, a Raspberry Pi's firmware (also as
# its older vcgencmd speaks to it), NVIDIA's graphics cards (by what older drivers call them, too),
# which the agent reads and every user may, and no other device but those below.
DevicePolicy=closed
DeviceAllow=char-fb rw
DeviceAllow=/dev/vcio rw
DeviceAllow=/dev/vchiq rw
DeviceAllow=char-nvidia rw
DeviceAllow=char-nvidia-frontend rw
"""

_I2C = """\
# Sensors on I²C buses.
DeviceAllow=char-i2c rw
"""


def sysusers() -> str:
    """Write who the service runs as, for sysusers.d."""
    return f"""\
# The Pilot agent's own user, in the groups that may use I²C buses (i2c), the console's screen and a
# Raspberry Pi's firmware (video).
g i2c - -
u {USER} - "Pilot agent" {STATE_FOLDER}
m {USER} i2c
m {USER} video
"""


def udev() -> str:
    """Write who may use the devices that the agent reads, for udev's rules.d."""
    return """\
# I²C buses belong to the group i2c, as on Raspberry Pi OS.
SUBSYSTEM=="i2c-dev", GROUP="i2c", MODE="0660"
"""
