complete --keep-order --exclusive --command papactl --arguments "(COMPLETE=fish papactl -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
