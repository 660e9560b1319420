#!/bin/sh
# Installs mailha on a node.
set -eu
cp -a /lab/install/. /
systemctl daemon-reload
