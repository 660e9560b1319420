// SPDX-License-Identifier: Apache-2.0

// Package fencer has nodes fenced that are lost and still own something: it decides who
// is to be switched off and by whom, writes that into the cluster's state, has the
// devices do it, and writes down what came of it, on which others take over.
//
// It must never have a node fenced that any node still hears, unless an operator
// asked for it or the node cannot stop what it has, and never without having won the
// record of the shot. It never takes anything over.
package fencer
