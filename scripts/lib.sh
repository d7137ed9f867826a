# Shared by the scripts beside it; sourced, not run.

die() {
    printf '%s: %s\n' "scripts/$(basename "$0")" "$*" >&2
    exit 1
}

# need PROGRAM PACKAGE: installs the Debian package when the program is not there and this is root's Debian.
need() { command -v "$1" >/dev/null || install_packages "$2"; }

# install_packages PACKAGE...: those of the packages that are not installed yet.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then return; fi
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        die "missing: ${missing[*]} (Debian: apt-get install ${missing[*]})"
    fi
    printf 'installing %s\n' "${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    # The lists of a fresh machine are empty or stale; they are fetched only when something is missing.
    apt-get update -qq >&2 && apt-get install -y -qq "${missing[@]}" </dev/null >&2 \
        || die "apt-get could not install ${missing[*]}"
}

# in_chroot DIRECTORY COMMAND...: runs it with the directory as its whole file system, and a configuration at /config.
in_chroot() {
    if [[ $(id -u) -eq 0 ]]; then
        env -i PATH="$PATH" XDG_CONFIG_HOME=/config chroot "$@"
    else
        env -i PATH="$PATH" XDG_CONFIG_HOME=/config unshare --map-root-user chroot "$@"
    fi
}
