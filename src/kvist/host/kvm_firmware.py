"""A firmware of 365 bytes that does what every operating system does in its first moments, and says how far it got.

It goes from real mode to protected mode to long mode with paging, takes an exception, enters ring 3 and comes back by a
system call: `pleuk` on the serial port, a letter for each. A KVM that cannot do one of these cannot run a kernel,
however well it starts a BIOS. Measured: on a paravirtual KVM without VT-x, where Linux hangs in its decompressor, it
stops after `pl`, at the first exception, after 0.1 s; under TCG it gets through.

Each row has the bytes and the assembly (AT&T) they come from; a test assembles the right column and compares.
Sources: Intel SDM volume 3, 10.9 (mode switching) and 4.5 (paging); volume 2, SYSCALL and SYSRET.
"""

from __future__ import annotations

SIZE = 0x10000
RESET = 0xFFF0
SAYS = b"pleuk"
MEANING = ("protected mode", "long mode with paging", "an exception", "ring 3", "a system call")
"""What each letter of `SAYS` stands for."""

CODE: tuple[tuple[str, str], ...] = (
    # Real mode, as a processor wakes up: load the segments, switch protection on.
    ("", ".code16"),
    ("fa", "cli"),
    ("2e660f01165d01", "data32 lgdt %cs:gdtr - start"),
    ("0f20c0", "mov %cr0, %eax"),
    ("0c01", "or $1, %al"),
    ("0f22c0", "mov %eax, %cr0"),
    ("66ea18000f000800", "ljmpl $0x08, $0xf0000 + protected - start"),
    ("", ".code32"),
    # Protected mode: say p, map the first 2 MiB by a page table at 4 KiB, switch long mode and paging on.
    ("", "protected:"),
    ("b810000000", "mov $0x10, %eax"),
    ("8ed8", "mov %eax, %ds"),
    ("8ec0", "mov %eax, %es"),
    ("8ed0", "mov %eax, %ss"),
    ("baf8030000", "mov $0x3f8, %edx"),
    ("b070", "mov $'p', %al"),
    ("ee", "out %al, %dx"),
    ("bf00100000", "mov $0x1000, %edi"),
    ("31c0", "xor %eax, %eax"),
    ("b9000c0000", "mov $0xc00, %ecx"),
    ("f3ab", "rep stosl"),
    ("c7050010000007200000", "movl $0x2007, 0x1000"),
    ("c7050020000007300000", "movl $0x3007, 0x2000"),
    ("c7050030000087000000", "movl $0x87, 0x3000"),
    ("b800100000", "mov $0x1000, %eax"),
    ("0f22d8", "mov %eax, %cr3"),
    ("0f20e0", "mov %cr4, %eax"),
    ("83c820", "or $0x20, %eax"),
    ("0f22e0", "mov %eax, %cr4"),
    ("b9800000c0", "mov $0xc0000080, %ecx"),
    ("0f32", "rdmsr"),
    ("0d01010000", "or $0x101, %eax"),
    ("0f30", "wrmsr"),
    ("0f20c0", "mov %cr0, %eax"),
    ("0d00000080", "or $0x80000000, %eax"),
    ("0f22c0", "mov %eax, %cr0"),
    ("ea88000f001800", "ljmp $0x18, $0xf0000 + long - start"),
    ("", ".code64"),
    # Long mode: say l, point entry 3 of an interrupt table at 16 KiB to our handler, cause that exception.
    ("", "long:"),
    ("bc00900000", "mov $0x9000, %esp"),
    ("baf8030000", "mov $0x3f8, %edx"),
    ("b06c", "mov $'l', %al"),
    ("ee", "out %al, %dx"),
    ("488d0579000000", "lea breakpoint(%rip), %rax"),
    ("6689042530400000", "mov %ax, 0x4030"),
    ("66c70425324000001800", "movw $0x18, 0x4032"),
    ("66c7042534400000008e", "movw $0x8e00, 0x4034"),
    ("48c1e810", "shr $16, %rax"),
    ("6689042536400000", "mov %ax, 0x4036"),
    ("c704253840000000000000", "movl $0, 0x4038"),
    ("c704253c40000000000000", "movl $0, 0x403c"),
    ("0f011d82000000", "lidt idtr(%rip)"),
    ("cc", "int3"),
    # Where syscall and sysret go; then to ring 3 as a kernel enters a program.
    ("b9810000c0", "mov $0xc0000081, %ecx"),
    ("31c0", "xor %eax, %eax"),
    ("ba18002000", "mov $0x00200018, %edx"),
    ("0f30", "wrmsr"),
    ("b9820000c0", "mov $0xc0000082, %ecx"),
    ("488d0523000000", "lea kernel(%rip), %rax"),
    ("31d2", "xor %edx, %edx"),
    ("0f30", "wrmsr"),
    ("baf8030000", "mov $0x3f8, %edx"),
    ("488d0d0e000000", "lea user(%rip), %rcx"),
    ("41bb02300000", "mov $0x3002, %r11d"),
    ("480f07", "sysretq"),
    # The exception arrives: say e, go back.
    ("", "breakpoint:"),
    ("b065", "mov $'e', %al"),
    ("ee", "out %al, %dx"),
    ("48cf", "iretq"),
    # Ring 3: say u, call the kernel.
    ("", "user:"),
    ("b075", "mov $'u', %al"),
    ("ee", "out %al, %dx"),
    ("0f05", "syscall"),
    # Back in ring 0: say k. All of it worked.
    ("", "kernel:"),
    ("b06b", "mov $'k', %al"),
    ("ee", "out %al, %dx"),
    ("", "halt:"),
    ("f4", "hlt"),
    ("ebfd", "jmp halt"),
    # Segments: none, 32-bit code and data, 64-bit code and data; of ring 3: data, 64-bit code.
    ("", "gdt:"),
    ("0000000000000000", ".quad 0"),
    ("ffff0000009bcf00", ".quad 0x00cf9b000000ffff"),
    ("ffff00000093cf00", ".quad 0x00cf93000000ffff"),
    ("ffff0000009baf00", ".quad 0x00af9b000000ffff"),
    ("ffff00000093cf00", ".quad 0x00cf93000000ffff"),
    ("ffff000000f3cf00", ".quad 0x00cff3000000ffff"),
    ("ffff000000fbaf00", ".quad 0x00affb000000ffff"),
    ("", "gdtr:"),
    ("3700", ".word 55"),
    ("25010f00", ".long 0xf0000 + gdt - start"),
    ("", "idtr:"),
    ("3f00", ".word 63"),
    ("0040000000000000", ".quad 0x4000"),
)

JUMP = ("ea000000f0", "ljmp $0xf000, $0")
"""What stands at `RESET`, where a processor begins: the way to the start of the image."""


def image() -> bytes:
    """Give the firmware as QEMU's -bios wants it: 64 KiB that end at the address where a processor begins."""
    code = bytes.fromhex("".join(row for row, _ in CODE))
    jump = bytes.fromhex(JUMP[0])
    return code.ljust(RESET, b"\0") + jump.ljust(SIZE - RESET, b"\0")


def source() -> str:
    """Give the same as text for an assembler (GNU as)."""
    lines = ["start:", *(line for _, line in CODE), f".org {RESET}", ".code16", JUMP[1], f".org {SIZE}", ""]
    return "\n".join(lines)
