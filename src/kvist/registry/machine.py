"""The verbs of machines, which need no noun: `kvist start web`."""

from __future__ import annotations

from kvist.registry.verb import Subject, Verb

V, M, ALL, NONE = Subject.VM, Subject.MANY, Subject.VMS, Subject.NOTHING

MACHINE: dict[str, tuple[Verb, ...]] = {
    "Make and remove": (
        Verb("create", "Make a VM and start it.", ALL, "making.create:create", then="kvist ssh {name}"),
        Verb(
            "set",
            "Change settings of VMs, live and for the next boot.",
            M,
            "changing.setting:set",
            then="kvist show {name}",
        ),
        Verb("get", "Print settings of VMs, now and at the next boot.", ALL, "changing.reading:get"),
        Verb("unset", "Take settings of VMs away.", M, "changing.setting:unset", then="kvist show {name}"),
        Verb(
            "pending",
            "List what waits for a VM's next boot, or take it back.",
            V,
            "changing.pending:pending",
            empty="nothing waits for its next boot",
            instead=("changing.pending:revert", "revert", "all"),
        ),
        Verb(
            "delete",
            "Put VMs and the disks made for them into the trash.",
            M,
            "vms.vm:Machine.delete",
            asks="delete {names}?",
            then="kvist undo",
            absent=True,
        ),
        Verb("protect", "Let VMs not be deleted.", M, "vms.vm:Machine.protect"),
        Verb("unprotect", "Let VMs be deleted again.", M, "vms.vm:Machine.unprotect"),
        Verb("rename", "Give a VM another name.", V, "vms.vm:Machine.rename", then="kvist show {name}"),
    ),
    "Look": (
        Verb(
            "ls",
            "List the VMs.",
            ALL,
            "vms.machines:Machines.ls",
            empty="there is no VM; kvist create web --image debian-12 makes one",
            everywhere="hosts.everywhere:ls",
        ),
        Verb("top", "Show what the running VMs use, live.", ALL, "vms.top:top", empty="no VM runs"),
        Verb("events", "Tell what happens to VMs, as it happens.", ALL, "vms.events:events"),
        Verb("show", "Show all that is known about a VM.", V, "vms.show:show"),
        Verb("ip", "Print the addresses of a VM.", V, "reaching.address:ip"),
        Verb("vnc", "Print the way to a VM's screen, or open it.", V, "reaching.viewing:vnc"),
        Verb("dump", "Write the memory of a VM to a file.", V, "vms.saving:dump"),
        Verb("screenshot", "Save what a VM's screen shows.", V, "reaching.screen:screenshot"),
    ),
    "Power": (
        Verb("start", "Boot VMs.", M, "vms.vm:Machine.start", then="kvist console {name}"),
        Verb("stop", "Shut VMs down.", M, "vms.vm:Machine.stop", then="kvist start {name}"),
        Verb("reboot", "Reboot VMs.", M, "vms.vm:Machine.reboot", then="kvist wait {name} ssh"),
        Verb("reset", "Press the reset button of VMs.", M, "vms.vm:Machine.reset", then="kvist console {name}"),
        Verb("suspend", "Freeze VMs; they stay in memory.", M, "vms.vm:Machine.suspend", then="kvist resume {name}"),
        Verb("resume", "Let suspended VMs go on.", M, "vms.vm:Machine.resume"),
        Verb("save", "Put VMs to sleep on disk.", M, "vms.saving:save", then="kvist start {name}"),
        Verb("restore", "Let saved VMs go on where they were.", M, "vms.saving:restore"),
        Verb("autostart", "Start a VM with its host, or not.", V, "vms.vm:Machine.autostart"),
    ),
    "Take back": (
        Verb("undo", "Take back what was done last, or operation N.", Subject.HISTORY, "past.history:History.undo"),
    ),
    "Get in": (
        Verb("console", "Open the serial console of a VM.", V, "reaching.terminal:console"),
        Verb("ssh", "Log in to a VM, or run a command in it.", V, "reaching.reach:ssh", command=True),
        Verb("exec", "Run a command by the guest agent, without a network.", V, "reaching.reach:execute", command=True),
        Verb("cp", "Copy files into a VM or out of it.", Subject.HOST, "reaching.copying:cp"),
        Verb("wait", "Wait until a VM has an address, answers by ssh, is off ...", V, "reaching.waiting:wait"),
        Verb("completion", "Print what lets your shell complete lines of kvist's.", NONE, "shell:completion"),
        Verb(
            "ssh-config",
            "Write a file for ssh's Include, so that `ssh VM` works.",
            Subject.HOST,
            "reaching.reach:ssh_config",
        ),
    ),
}
