#!/bin/sh
# The steps of docker/Dockerfile's stage `build`: install into /opt/samebits without leaving a clock, a path or bytecode.
#
#     install.sh requirements LOCK    the packages of requirements/LOCK.txt, each checked against its SHA-256
#     install.sh samebits             samebits itself: the wheel of the wheelhouse, or one built here
set -eu
umask 022
export LC_ALL=C.UTF-8 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# pip stays outside of what it installs into: no pip, and none of its bytecode, reaches the image.
install_into() {
    target=$1
    shift
    if [ -n "$(find wheelhouse -name '*.whl' | head -n 1)" ]; then
        set -- --no-index --find-links=wheelhouse "$@"
    fi
    /opt/pip/bin/python -m pip --python "${target}/bin/python" install --quiet --no-compile --no-deps "$@"
}

# PyPI has no CPU build of torch for Linux; its own index is asked where the wheelhouse is empty.
torch_index() {
    [ "$1" != image-torch ] || printf '%s' "--extra-index-url=https://download.pytorch.org/whl/cpu"
}

case "$1" in
requirements)
    python3 -m venv /opt/pip
    python3 -m venv --without-pip /opt/samebits
    # Scripts that only a shell of this venv would read hold the prompt and nothing that is needed.
    rm -f /opt/samebits/bin/activate* /opt/samebits/bin/Activate.ps1
    # One word or none.
    # shellcheck disable=SC2046
    install_into /opt/samebits --require-hashes $(torch_index "$2") -r "requirements/$2.txt"
    mkdir -p /app/artifacts
    chmod 1777 /app/artifacts
    ;;
samebits)
    if [ -z "$(find wheelhouse -name 'samebits-*.whl')" ]; then
        python3 -m venv --without-pip /opt/compiler
        install_into /opt/compiler --require-hashes -r requirements/image-build.txt
        /opt/compiler/bin/python -m hatchling build --target wheel --directory wheel
    fi
    # By name, not by path: pip would write the path down.
    install_into /opt/samebits --no-index --find-links=wheelhouse --find-links=wheel samebits
    ;;
*)
    echo "error: install.sh must be called with requirements or samebits, got $1" >&2
    exit 2
    ;;
esac
