# kvist completion for fish: kvist completion fish | source
complete -c kvist -f -a '(kvist __complete fish -- (commandline -opc) (commandline -ct) 2>/dev/null)'
