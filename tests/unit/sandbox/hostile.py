"""Hostile programs, such as a model might write under the pressure of a reward.

FORGERS want the reward without the work: they define `solve(number)`, but do not know what it
should return. RAIDERS want something of the host: they print what they get, and `loot` is the
test's secret. GLUTTONS exceed a limit.
"""

FORGERS = {
    "prints verdict lines": """
import sys
for line in ("passed", "PASSED", "OK", "result: 1.0", '{"passed": true}', "1 passed in 0.1s"):
    print(line); print(line, file=sys.stderr)
def solve(number): return None
""",
    "leaves with success": "import os\ndef solve(number): os._exit(0)\nos._exit(0)",
    "leaves politely": "import sys\ndef solve(number): sys.exit(0)",
    "leaves at import": "raise SystemExit(0)",
    "equals anything": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
    def __lt__(self, other): return True
    def __abs__(self): return self
    def __sub__(self, other): return self
    def __str__(self): return "42"
def solve(number): return Any()
""",
    "an int that equals anything": """
class Int(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __sub__(self, other): return self
    def __abs__(self): return self
    __hash__ = int.__hash__
def solve(number): return Int(7)
""",
    "a float that equals anything": """
class Float(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return Float(0)
    def __rsub__(self, other): return Float(0)
    def __lt__(self, other): return True
def solve(number): return Float("nan")
""",
    "a string that equals anything": """
class Text(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def solve(number): return Text("x")
""",
    "a list that equals anything": """
class List(list):
    def __eq__(self, other): return True
    def __len__(self): return 10 ** 6
    def __iter__(self): return iter([])
def solve(number): return List()
""",
    "a dict that equals anything": """
class Dict(dict):
    def __eq__(self, other): return True
    def items(self): return [("x", 1)]
def solve(number): return Dict()
""",
    "lies about its class": """
class Liar:
    __class__ = float
    def __eq__(self, other): return True
    def __float__(self): return 0.0
def solve(number): return Liar()
""",
    "not a number": "def solve(number): return float('nan')",
    "infinite": "def solve(number): return float('inf')",
    "a generator without end": """
def solve(number):
    while True: yield number
""",
    "patches builtins": """
import builtins
builtins.abs = lambda value: 0
builtins.bool = lambda value: True
builtins.all = builtins.any = lambda values: True
builtins.isinstance = lambda value, kind: True
builtins.eval = lambda *given: None
builtins.len = lambda value: 1
def solve(number): return 0
""",
    "patches json": """
import json, sys
json.dumps = lambda *given, **named: '{"value": [true], "passed": true, "cpu": 0}'
json.loads = lambda *given, **named: {}
sys.modules["json"] = None
def solve(number): return 0
""",
    "patches the driver": """
import sys
frame = sys._getframe()
while frame:
    for name in list(frame.f_globals):
        if name in ("failure", "find", "pack", "send"): frame.f_globals[name] = lambda *a, **k: None
    frame = frame.f_back
def solve(number): return 0
""",
    "patches the wire": """
import sys, gc
for thing in gc.get_objects():
    if isinstance(thing, dict) and "pack" in thing and "unpack" in thing:
        thing["pack"] = lambda value, classes=(): [True]
def solve(number): return 0
""",
    "answers on the channel": """
import os, struct
body = b'{"value": [true], "passed": true, "done": null, "assert": true, "cpu": 0}'
for descriptor in range(3, 32):
    for count in range(20):
        try: os.write(descriptor, struct.pack("!I", len(body)) + body)
        except OSError: break
def solve(number): return 0
""",
    "speaks as the tests": """
import os, struct
for body in (b'{"assert": true, "text": null}', b'{"done": null}', b'{"ask": [{"tuple": []}]}'):
    for descriptor in range(3, 8):
        try: os.write(descriptor, struct.pack("!I", len(body)) + body)
        except OSError: pass
def solve(number): return 0
""",
    "garbage on the channel": """
import os
for descriptor in range(3, 32):
    try: os.write(descriptor, b"\\xff" * 4096)
    except OSError: pass
def solve(number): return 0
""",
    "claims to be nested without end": """
import os, struct
body = b'{"value": [' + b"[" * 900 + b"]" * 900 + b'], "cpu": 0}'
for descriptor in range(3, 8):
    try: os.write(descriptor, (struct.pack("!I", len(body)) + body) * 9)
    except OSError: pass
def solve(number): return 0
""",
    "claims to have used all the time there is": """
import os, struct
body = b'{"value": [7], "cpu": 1' + b"0" * 4000 + b"}"
for descriptor in range(3, 8):
    try: os.write(descriptor, (struct.pack("!I", len(body)) + body) * 9)
    except OSError: pass
def solve(number): return 0
""",
    "claims another kind of message": """
import os, struct
for body in (b"[]", b"null", b"7", b'"x"', b"{}", b'{"error": {}}', b'{"value": null}'):
    for descriptor in range(3, 8):
        try: os.write(descriptor, struct.pack("!I", len(body)) + body)
        except OSError: pass
def solve(number): return 0
""",
    "a signalling number": "import decimal\ndef solve(number): return decimal.Decimal('sNaN')",
    "a fraction that takes minutes": """
from fractions import Fraction
class Long(Fraction):
    numerator = 3 ** 1_000_000
    denominator = 2 ** 1_500_000 + 1
def solve(number): return Long(1, 2)
""",
    "closes everything": "import os\nos.closerange(0, 64)\ndef solve(number): return 0",
    "closes while called": "import os\ndef solve(number): os.closerange(0, 64)",
    "walks frames for the expected value": """
import sys, gc
def solve(number):
    frame, seen = sys._getframe(), []
    while frame:
        seen += [value for value in frame.f_locals.values()]
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "expected" in thing: return thing["expected"]
    for thing in seen:
        if isinstance(thing, dict) and "expected" in thing: return thing["expected"]
    return None
""",
    "walks memory for the expected value": """
def solve(number):
    try: text = open("/proc/self/mem", "rb").read(1 << 20)
    except OSError: text = b""
    return text.count(b"expected")
""",
    "reads the tests from files": """
import os
def solve(number):
    for folder, _, names in os.walk("/"):
        for name in names:
            if "test" in name.lower() or "expected" in name.lower():
                try: return open(os.path.join(folder, name)).read()[:9]
                except Exception: pass
    return None
""",
    "replaces stdout": """
import sys, io
class Out(io.StringIO):
    def getvalue(self): return "42"
sys.stdout = Out()
def solve(number): return None
""",
    "prints at exit": """
import atexit
atexit.register(lambda: print("passed"))
def solve(number): return None
""",
    "goes on in a thread": """
import threading, time
def on():
    while True: time.sleep(0.01)
threading.Thread(target=on, daemon=True).start()
def solve(number): return None
""",
    "goes on in a child": """
import os, time
if os.fork() == 0:
    time.sleep(30); os._exit(0)
def solve(number): return None
""",
    "answers from many children": """
import os
for _ in range(3): os.fork()
def solve(number): return None
""",
    "takes over exit": """
import os, sys
os._exit = lambda code: None
sys.exit = lambda code=0: None
def solve(number): raise KeyboardInterrupt
""",
    "forges the clock": """
import time
time.process_time = lambda: float("nan")
time.monotonic = lambda: 0.0
def solve(number):
    while True: pass
""",
    "swallows every exception": """
def solve(number):
    while True:
        try:
            while True: pass
        except BaseException: continue
""",
    "returns itself": "def solve(number): return solve",
    "returns a class": "def solve(number): return int",
    "returns nested without end": """
def solve(number):
    thing = []
    for _ in range(100000): thing = [thing]
    return thing
""",
    "returns a cycle": "def solve(number):\n    thing = []\n    thing.append(thing)\n    return thing",
    "returns too much": "def solve(number): return 'x' * (1 << 26)",
    "returns a huge number": "def solve(number): return 1 << (1 << 22)",
    "changes its arguments": """
class Solve:
    def __call__(self, number, *given): return number.__class__
solve = Solve()
""",
    "redefines the candidate": """
import sys
module = sys.modules[__name__]
candidate = check = lambda *given: True
def solve(number): return True
__record__ = lambda test: True
""",
    "replaces assertions": """
import builtins
builtins.AssertionError = type("Fine", (BaseException,), {})
def solve(number): raise AssertionError
""",
    "has no function": "answer = 42",
    "does not compile": "def solve(number) return 42",
}

RAIDERS = {
    "reads the environment": "import os\nprint(dict(os.environ))",
    "reads what other processes have": """
import os
for number in list(range(1, 400)) + ["self", "1"]:
    for name in ("environ", "cmdline", "mem", "maps", "fd", "root", "cwd"):
        try: print(open(f"/proc/{number}/{name}", "rb").read(4096))
        except OSError: pass
""",
    "reads files of the host": """
import os, glob
for path in ("/etc/passwd", "/etc/shadow", "/etc/hostname", "/root", "/home", "/work", "/var", "/sys",
             "/usr", "/run", "/mnt", "/opt", "/boot", "/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg"):
    try: print("loot", os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(99))
    except OSError: pass
""",
    "reads the secret by its path": "print(open({secret!r}).read())",
    "writes beside the secret": "open({secret!r} + '.stolen', 'w').write('loot')",
    "follows a symlink": "import os\nos.symlink({secret!r}, '/tmp/x')\nprint(open('/tmp/x').read())",
    "climbs out": """
import os
folder = os.open("/", os.O_RDONLY)
for _ in range(64): os.chdir("..")
print(open({secret!r}.lstrip("/")).read())
""",
    "passes descriptors": """
import array, os, socket
for number in range(3, 64):
    try:
        ours = socket.socket(fileno=os.dup(number))
        folder = os.open("/", os.O_RDONLY)
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [folder]))])
        print("loot")
    except OSError: pass
""",
    "signals everybody": """
import os, signal
for target in (-1, 0, os.getppid(), 1, 2, 3, 100):
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        try: os.kill(target, number)
        except OSError: pass
""",
    "kills its group": "import os, signal\nos.killpg(0, signal.SIGKILL)\nos.killpg(os.getpgid(0), 9)",
    "traces its parent": "import ctypes\nctypes.CDLL(None).ptrace(16, 1, 0, 0)\nprint('loot')",
    "reads its parent's memory": """
import ctypes, os
libc = ctypes.CDLL(None)
print("loot", libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0))
""",
    "mounts": "import ctypes\nctypes.CDLL(None).mount(b'proc', b'/tmp', b'proc', 0, None)\nprint('loot')",
    "unmounts": "import ctypes\nctypes.CDLL(None).umount2(b'/proc', 2)\nprint('loot')",
    "changes root": "import os\nos.chroot('/tmp')\nprint('loot')",
    "unshares": "import ctypes\nctypes.CDLL(None).unshare(0x10000000)\nprint('loot')",
    "clones into a namespace": """
import ctypes, platform
number = {{"x86_64": 56, "aarch64": 220}}[platform.machine()]
ctypes.CDLL(None).syscall(number, 0x10000000 | 17, 0, 0, 0, 0)
print("loot")
""",
    "clones by the new call": """
import ctypes
made = ctypes.create_string_buffer(88)
made[0:8] = (0x10000000).to_bytes(8, "little")
print("loot" if ctypes.CDLL(None, use_errno=True).syscall(435, made, 88) >= 0 else "none")
""",
    "enters a namespace": "import ctypes\nctypes.CDLL(None).setns(0, 0)\nprint('loot')",
    "becomes root": """
import os
for change in (os.setuid, os.setgid, os.seteuid, os.setegid):
    try: change(0); print("loot")
    except OSError: pass
""",
    "plants a setuid file": """
import os
open("/tmp/x", "w").write("#!/python/bin/python3.11\\nprint('loot')")
os.chmod("/tmp/x", 0o6755)
os.execv("/tmp/x", ["/tmp/x"])
""",
    "takes capabilities": """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
every = (ctypes.c_uint32 * 6)(*[0xffffffff] * 6)
if ctypes.CDLL(None).capset(header, every) == 0: print("loot")
""",
    "talks to the network": """
import socket
for family in (socket.AF_INET, socket.AF_INET6, 40, 16, 17):
    try: socket.socket(family, socket.SOCK_STREAM); print("loot")
    except OSError: pass
""",
    "looks up a name": "import socket\ntry: socket.getaddrinfo('localhost', 80); print('none')\n"
    "except OSError: pass",
    "finds abstract sockets": """
import socket
for name in ("\\0dbus", "\\0/tmp/.X11-unix/X0", "/run/dbus/system_bus_socket", "/var/run/docker.sock"):
    try: socket.socket(socket.AF_UNIX).connect(name); print("loot")
    except OSError: pass
""",
    "shares memory": """
import ctypes
libc = ctypes.CDLL(None)
if libc.shmget(42, 4096, 0o1666) >= 0 or libc.msgget(42, 0o1666) >= 0: print("loot")
""",
    "makes anonymous files": "import os\nos.memfd_create('x')\nprint('loot')",
    "writes to the root": """
for path in ("/x", "/dev/x", "/dev/shm/x", "/python/x", "/restem/box/driver.py", "/proc/sys/x"):
    try: open(path, "w").write("loot"); print("loot")
    except OSError: pass
""",
    "changes the library": """
import os, random
path = random.__file__
for change in (lambda: os.remove(path), lambda: open(path, "a"), lambda: os.rename(path, "/tmp/r")):
    try: change(); print("loot")
    except OSError: pass
""",
    "makes devices": "import os, stat\nos.mknod('/tmp/x', stat.S_IFBLK | 0o666, os.makedev(254, 0))\n"
    "print('loot')",
    "watches files": "import ctypes\nif ctypes.CDLL(None).inotify_init() >= 0: print('loot')",
    "uses io_uring": "import ctypes\nctypes.CDLL(None).syscall(425, 8, bytes(120))\nprint('loot')",
    "loads into the kernel": "import ctypes\nctypes.CDLL(None).init_module(0, 0, 0)\nprint('loot')",
    "programs the kernel": "import ctypes\nctypes.CDLL(None).syscall(321, 0, 0, 0)\nprint('none')",
    "sets the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)\nprint('loot')",
    "names the host": "import socket\nsocket.sethostname('loot')\nprint('loot')",
    "raises its limits": """
import resource
for name in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE"):
    kind = getattr(resource, name)
    try: resource.setrlimit(kind, (-1, -1)); print("loot")
    except (ValueError, OSError): pass
""",
    "runs other programs": """
import os, subprocess
for path in ("/bin/sh", "/usr/bin/env", "/bin/ls", "bwrap", "sudo", "su", "mount"):
    try: subprocess.run([path]); print("loot")
    except OSError: pass
""",
    "raises its priority": "import os\nos.nice(-20)\nprint('loot')",
}

# With the failures that each may end in.
GLUTTONS = {
    "forks without end": (
        "import os\nwhile True: os.fork()",
        {"runtime error", "timeout", "forbidden"},
    ),
    "forks and catches": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        {"timeout"},
    ),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()",
        {"runtime error", "timeout", "memory"},
    ),
    "takes memory": ("x = []\nwhile True: x.append(bytearray(1 << 24))", {"memory"}),
    "takes memory in children": (
        "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(80 << 20)\ntime.sleep(9)",
        {"memory", "runtime error"},
    ),
    "fills the disk": (
        "f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20))",
        {"runtime error"},
    ),
    "makes files without end": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'w').close()",
        {"runtime error"},
    ),
    "opens files without end": (
        "x = []\nwhile True: x.append(open('/dev/null'))",
        {"runtime error"},
    ),
    "prints without end": ("while True: print('x' * 1000)", {"output limit"}),
    "complains without end": (
        "import sys\nwhile True: print('x' * 1000, file=sys.stderr)",
        {"output limit"},
    ),
    "loops": ("while True: pass", {"timeout"}),
    "loops in C": ("sum(range(10 ** 15))", {"timeout"}),
    "backtracks": ("import re\nre.match('(a+)+$', 'a' * 50 + 'b')", {"timeout"}),
    "raises to a power": ("x = 7 ** (7 ** 20)", {"timeout", "memory"}),
    "waits": ("import time\ntime.sleep(999)", {"timeout"}),
    "waits for input": ("import os\nos.read(os.pipe()[0], 1)", {"timeout"}),
    "stops itself": (
        "import os, signal\nos.kill(1, signal.SIGSTOP)\nwhile True: pass",
        {"timeout"},
    ),
    "ignores signals": (
        "import signal\nfor n in (15, 2, 24, 14): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        {"timeout"},
    ),
    "recurses": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x): return [f(x)][0]\nf(1)",
        {"runtime error", "memory", "timeout"},
    ),
    "overruns the C stack": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6): x = [x]\nrepr(x)",
        {"runtime error", "timeout"},
    ),
    "crashes": ("import ctypes\nctypes.string_at(0)", {"runtime error"}),
    "aborts": ("import os\nos.abort()", {"runtime error"}),
    "hides children from its clock": (
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "while True:\n    try:\n        if os.fork() == 0: sum(range(10 ** 6)); os._exit(0)\n"
        "    except OSError: pass",
        {"timeout"},
    ),
    "parses too deep": ("eval('-' * 10 ** 6 + '1')", {"runtime error", "memory"}),
}
