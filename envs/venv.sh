# Make a virtual environment with a Python that the locks are for: sh envs/venv.sh <folder>
# $PYTHON names the interpreter; without it the first that works is taken: 3.11, 3.12, 3.13, those of
# pyenv, or one that uv brings. A failure leaves no folder behind.
set -u
folder=$1
wanted=${PYTHON:-}
needed="restem needs Python 3.11, 3.12 or 3.13"

fail() {  # what is wrong, where, what to do
    printf '%s\n  where: %s\n  what to do: %s\n' "make: $1" "$2" "$3" >&2
    exit 1
}

version_of() {  # prints 3.12, or nothing if it is no Python that runs
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() {
    case $(version_of "$1") in
        3.11 | 3.12 | 3.13) ;;
        *) return 1 ;;
    esac
}

can_make_venvs() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

make_venv() {
    trap 'rm -rf "$folder"; exit 130' INT TERM HUP
    "$@" "$folder" && "$folder/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
    rm -rf "$folder"
    fail "the environment cannot be made with $1" "$folder" "see the message above"
}

# One that works is kept; what an interrupted run left is made again.
"$folder/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
[ ! -e "$folder" ] || echo "replacing $folder, in which pip does not run"
rm -rf "$folder"

if [ -n "$wanted" ]; then
    command -v "$wanted" >/dev/null 2>&1 ||
        fail "there is no program $wanted" "PYTHON=$wanted" "name one that exists; $needed"
    is_supported "$wanted" ||
        fail "$wanted is Python $(version_of "$wanted" || echo '?')" "PYTHON=$wanted" "$needed"
    can_make_venvs "$wanted" ||
        fail "$wanted lacks the modules venv and ensurepip" "PYTHON=$wanted" \
            "install them; on Debian and Ubuntu: apt install python$(version_of "$wanted")-venv"
    make_venv "$wanted" -m venv
fi

without_venv=
pyenv=${PYENV_ROOT:-${HOME:-}/.pyenv}/versions
for python in python3.11 python3.12 python3.13 python3 \
    "$pyenv"/3.11.*/bin/python "$pyenv"/3.12.*/bin/python "$pyenv"/3.13.*/bin/python; do
    command -v "$python" >/dev/null 2>&1 && is_supported "$python" || continue
    can_make_venvs "$python" && make_venv "$python" -m venv
    without_venv=${without_venv:-$(version_of "$python")}
done
command -v uv >/dev/null 2>&1 && make_venv uv venv --quiet --seed --python 3.11
[ -z "$without_venv" ] ||
    fail "Python $without_venv lacks the modules venv and ensurepip" "PATH" \
        "install them (on Debian and Ubuntu: apt install python$without_venv-venv), or uv"
fail "$needed, and found none" "PATH, $pyenv" \
    "install one, load a module that has one, or install uv; or name one: make PYTHON=/path/to/python"
