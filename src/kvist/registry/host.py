"""The nouns of the host: images, what was done, what was deleted, the machine itself."""

from __future__ import annotations

from kvist.registry.verb import Noun, Subject, Verb

NONE = Subject.NOTHING

NOUNS = (
    Noun(
        "image",
        "Images that VMs are made of.",
        (
            Verb(
                "ls",
                "List the images.",
                Subject.IMAGES,
                "images.image:Images.ls",
                empty="there is no image; kvist image build debian-12 makes one",
            ),
            Verb("show", "Show all that is known about an image.", Subject.IMAGES, "images.image:Images.show"),
            Verb(
                "build",
                "Build an image from Debian's packages, on this machine.",
                Subject.IMAGES,
                "images.image:Images.build",
                then="kvist create web --image {name}",
            ),
            Verb(
                "add",
                "Add an image from a file, a URL or the catalogue.",
                Subject.IMAGES,
                "images.image:Images.add",
                then="kvist image ls",
            ),
            Verb(
                "catalogue",
                "List the images that can be added by name.",
                Subject.IMAGES,
                "images.image:Images.catalogue",
            ),
            Verb(
                "remove",
                "Remove images.",
                Subject.IMAGES,
                "images.image:Images.remove",
                asks="remove image {names}?",
            ),
            Verb(
                "prune",
                "Remove what no image and no VM needs any more.",
                Subject.IMAGES,
                "images.image:Images.prune",
            ),
        ),
    ),
    Noun(
        "log",
        "What was done on a host, by whom, and how it ended.",
        (Verb("show", "Show one operation, change by change.", Subject.HISTORY, "past.history:History.show"),),
        Verb(
            "log",
            "List what was done, newest first.",
            Subject.HISTORY,
            "past.history:History.log",
            empty="nothing was done here yet",
        ),
    ),
    Noun(
        "trash",
        "VMs that were deleted and can come back.",
        (
            Verb("ls", "List the VMs in the trash.", Subject.TRASH, "past.trash:Trash.ls", empty="the trash is empty"),
            Verb(
                "restore",
                "Bring a deleted VM back whole.",
                Subject.TRASH,
                "past.trash:Trash.restore",
                then="kvist start {name}",
            ),
            Verb(
                "empty",
                "Remove deleted VMs for good.",
                Subject.TRASH,
                "past.trash:Trash.empty",
                asks="remove what is in the trash for good?",
            ),
        ),
    ),
    Noun(
        "host",
        "The machine that VMs run on.",
        (
            Verb(
                "check",
                "Find out whether VMs can run on a host, and mend it.",
                Subject.PLACE,
                "hosts.check:check",
                instead=("hosts.check:mend", "fix"),
            ),
            Verb(
                "setup",
                "Install what VMs need on a host, and start it.",
                Subject.PLACE,
                "hosts.setup:setup",
                then="kvist host check",
            ),
            Verb("show", "Show which host a line acts on, and why.", Subject.HOST, "hosts.naming:show"),
            Verb(
                "ls",
                "List the hosts that have names.",
                NONE,
                "hosts.naming:ls",
                empty="no host has a name; kvist host add NAME URI gives one",
            ),
            Verb("add", "Give a host a name.", NONE, "hosts.naming:add", then="kvist ls --host {name}"),
            Verb("set", "Change settings of a host.", Subject.HOST, "hosts.setting:set"),
            Verb("use", "Take a host where none is named.", NONE, "hosts.naming:use", then="kvist host show"),
            Verb("remove", "Forget hosts.", NONE, "hosts.naming:remove"),
        ),
    ),
    Noun(
        "sandbox",
        "A private libvirt, from which nothing leaks.",
        (
            Verb("up", "Start a sandbox.", NONE, "hosts.sandbox:up", then="kvist --host sandbox:{name} ls"),
            Verb(
                "ls",
                "List the sandboxes.",
                NONE,
                "hosts.sandbox:ls",
                empty="no sandbox is up; kvist sandbox up starts one",
            ),
            Verb("exec", "Run a command in a sandbox.", NONE, "hosts.sandbox:execute", command=True),
            Verb("shell", "Open a shell in a sandbox.", NONE, "hosts.sandbox:shell"),
            Verb("down", "Switch a sandbox off, with all that is in it.", NONE, "hosts.sandbox:down"),
        ),
    ),
)
