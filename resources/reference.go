// SPDX-License-Identifier: Apache-2.0

package resources

import _ "embed"

//go:embed reference.toml
var reference string

// Reference is a mailha.toml with every key, its default, and what it is for.
func Reference() string { return reference }
