#compdef kvist
# kvist completion for zsh: source <(kvist completion zsh), or save it as _kvist in a directory of $fpath
_kvist() {
    local line
    local -a plain open
    while IFS= read -r line; do
        local word="${line%%$'\t'*}" doc="${line#*$'\t'}"
        case "$word" in
            *= | */ | *:) open+=("${word//:/\\:}:$doc") ;;
            *) plain+=("${word//:/\\:}:$doc") ;;
        esac
    done < <("${words[1]}" __complete zsh -- "${(@)words[1,CURRENT]}" 2>/dev/null)
    (( $#plain )) && _describe kvist plain
    # What goes on behind a sub-key, a directory or a VM is typed without a space.
    (( $#open )) && _describe kvist open -S ''
    return 0
}
if [ "$funcstack[1]" = _kvist ]; then _kvist "$@"; else compdef _kvist kvist; fi
