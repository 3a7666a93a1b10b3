# kvist completion for bash: source <(kvist completion bash)
_kvist() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("$1" __complete bash "$COMP_LINE" "$COMP_POINT" 2>/dev/null)
    # What goes on behind a sub-key, a directory or a VM is typed without a space.
    case "${COMPREPLY[0]}" in
        *= | */ | *:) compopt -o nospace 2>/dev/null ;;
    esac
}
complete -F _kvist kvist
